"""Readings from outside the assistant: the analysis's last report, firing alerts, MLflow, and AWS's consoles."""

from __future__ import annotations

import json
from typing import Any

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError
from botocore.httpsession import URLLib3Session
from pydantic import BaseModel, ConfigDict

from fmops.consoles import console

REPORT = "analysis/content/reports/latest"
"""Beginning of the keys that the analysis writes for its last report: its page, its plot and its outcome."""
LINK_SECONDS = 300
"""Seconds within which an address that was made for somebody must be opened."""
SESSION_SECONDS = 12 * 3600
HTTP_SECONDS = 3
MISSING = ("NoSuchKey", "AccessDenied")
"""Error codes of S3 for a key that is not there; the second is for roles that may not list the bucket."""


class Places(BaseModel):
    """Names of what the home page shows; an empty one leaves its card or its state out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lake: str = ""
    """Bucket of the data lake."""
    prometheus: str = ""
    """Address of the Prometheus workspace, with a slash at its end."""
    grafana: bool = False
    """Whether there is a Grafana workspace."""
    table: str = ""
    """Table of the captured records, with its database."""


class NoAnswerError(Exception):
    """A service refused, or its answer cannot be read."""


class Elsewhere:
    """Reads with the role of the assistant, and makes addresses that open in a browser for some minutes."""

    def __init__(self, session: boto3.Session, places: Places, *, tracking_uri: str, config: Config) -> None:
        self.places, self.mlflow = places, tracking_uri
        self._session = session
        signed = config.merge(Config(signature_version="s3v4"))
        self._s3 = session.client("s3", config=signed)
        self._sagemaker = session.client("sagemaker", config=config)
        self._http = URLLib3Session(timeout=HTTP_SECONDS)

    def drift(self) -> dict[str, Any]:
        """Return the outcome of the last analysis; ``verdict`` is None while there is none."""
        body = self._report("json")
        return {"verdict": None} if body is None else dict(json.loads(body))

    def plot(self) -> bytes | None:
        """Return the plot of the last analysis as SVG."""
        return self._report("svg") or None

    def alerts(self) -> dict[str, Any]:
        """Return the alerts of the Prometheus workspace that are firing, those that page first."""
        answer = self._signed_get(f"{self.places.prometheus}api/v1/alerts", "aps")
        firing = [each for each in answer["data"]["alerts"] if each["state"] == "firing"]
        shown = [
            {
                "name": each["labels"].get("alertname", ""),
                "severity": each["labels"].get("severity", ""),
                "summary": each["annotations"].get("summary", ""),
                "since": each["activeAt"],
            }
            for each in firing
        ]
        return {"firing": sorted(shown, key=lambda each: (each["severity"] != "page", each["name"]))}

    def report_address(self) -> str:
        """Return an address of the last report's page."""
        key = {"Bucket": self.places.lake, "Key": f"{REPORT}.html"}
        return str(self._s3.generate_presigned_url("get_object", Params=key, ExpiresIn=LINK_SECONDS))

    def mlflow_address(self) -> str:
        """Return an address of MLflow's pages, good for one visit with the assistant's rights."""
        limits = {"ExpiresInSeconds": LINK_SECONDS, "SessionExpirationDurationInSeconds": SESSION_SECONDS}
        if ":mlflow-tracking-server/" in self.mlflow:
            name = self.mlflow.rpartition("/")[2]
            made = self._sagemaker.create_presigned_mlflow_tracking_server_url(
                TrackingServerName=name, **limits
            )
        else:
            made = self._sagemaker.create_presigned_mlflow_app_url(Arn=self.mlflow, **limits)
        return str(made["AuthorizedUrl"])

    def console(self, service: str, place: str) -> str:
        """Return the address of a place in a service's console in this region."""
        return console(self._session.region_name, service, place)

    def _report(self, kind: str) -> bytes | None:
        try:
            answer = self._s3.get_object(Bucket=self.places.lake, Key=f"{REPORT}.{kind}")
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                return None
            raise
        return bytes(answer["Body"].read())

    def _signed_get(self, url: str, service: str) -> dict[str, Any]:
        credentials, request = self._session.get_credentials(), AWSRequest("GET", url)
        if credentials is None:
            raise NoCredentialsError
        SigV4Auth(credentials, service, self._session.region_name).add_auth(request)
        answer = self._http.send(request.prepare())
        if answer.status_code != 200:
            raise NoAnswerError(answer.status_code)
        found: dict[str, Any] = json.loads(answer.content)
        return found
