"""The deployment that the faults hit: the synthesized templates in a local AWS, on ports and in a folder
of its own."""

from __future__ import annotations

import gzip
import json
import resource
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3

from demo.accounts import Directory
from demo.deployed import deployed as demo_deployed
from fmops.json_lines import split
from local.aws.faults import Fault
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws
from local.run.deploy import Deployment
from local.run.options import Options
from local.run.runner import Runner

DIRECTORY = Path("build/faults")
DELIVER_WITHIN = 0.5
"""Seconds that Firehose buffers here, so that captured records are soon in the lake."""


class Deployed:
    """A running deployment, its control endpoints and its lake."""

    def __init__(self, cloud: Cloud, runner: Runner, deployment: Deployment, directory: Directory) -> None:
        self.cloud, self.runner = cloud, runner
        self.outputs = deployment.outputs
        self.url = runner.base_url()
        self._directory = directory
        self._tokens: dict[str, str] = {}
        self._http = urllib3.PoolManager(retries=False)

    def token(self, user: str) -> str:
        """Return the ID token of one of the demo's users."""
        if user not in self._tokens:
            self._tokens[user] = self._directory.id_token(user)
        return self._tokens[user]

    def install(self, faults: Sequence[Fault]) -> None:
        """Let these faults affect the calls from now on, and no others."""
        body = json.dumps([fault.model_dump() for fault in faults])
        self._local("PUT", "faults", body)

    def hits(self) -> int:
        """Return how many calls have met the faults that are installed."""
        return sum(each["hits"] for each in self._local("GET", "faults"))

    def record(self) -> None:
        """Start the journal of calls."""
        self._local("DELETE", "journal")

    def journal(self) -> list[dict[str, Any]]:
        """Return the assistant's signed calls since then. Reading an issuer's keys needs no signature, so its
        caller is unknown."""
        return [call for call in self._local("GET", "journal") if f"/{self._role()}/" in call["caller"]]

    def _role(self) -> str:
        (credentials,) = {
            self.cloud.container_credentials[each.container.credentials_token].role_arn
            for each in self.runner.running
        }
        return credentials.rsplit("/", 1)[-1]

    def _local(self, method: str, path: str, body: str | None = None) -> Any:
        answer = self._http.request(method, f"{self.cloud.endpoint}/_local/{path}", body=body, timeout=30)
        if answer.status != 200:
            raise RuntimeError(f"{method} /_local/{path}: {answer.data.decode()}")
        return answer.json()

    def captured(self) -> Counter[str]:
        """Return the interactions in the lake, with the number of copies of each."""
        self._local("POST", "flush")
        bucket, s3 = self.outputs["Capture"]["LakeBucketName"], self.cloud.client("s3")
        found: Counter[str] = Counter()
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="interactions/"):
            for item in page.get("Contents", []):
                body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
                records = map(json.loads, split(gzip.decompress(body)))
                found.update(
                    each["interaction_id"] for each in records if each["record_type"] == "interaction"
                )
        return found

    def records(self) -> str:
        """Return the agent's system of record as text, to see whether anything was changed."""
        table = self.outputs["Assistant"]["RecordsTableName"]
        pages = self.cloud.client("dynamodb").get_paginator("scan").paginate(TableName=table)
        items = [item for page in pages for item in page["Items"]]
        return json.dumps(sorted(json.dumps(item, sort_keys=True, default=str) for item in items))

    def samples(self, namespace: str, name: str) -> float:
        """Return how many samples CloudWatch has of a metric, over all its dimensions."""
        from moto.cloudwatch.models import cloudwatch_backends

        backend = cloudwatch_backends[self.cloud.account][self.cloud.region]
        return float(sum(each.namespace == namespace and each.name == name for each in backend.metric_data))

    def limit(self, name: int, soft: int) -> tuple[int, int]:
        """Limit what the assistant's process may use, and return the previous limits."""
        pid = self.runner.process("assistant").pid
        before = resource.prlimit(pid, name)
        resource.prlimit(
            pid, name, (min(soft, before[1]) if before[1] != resource.RLIM_INFINITY else soft, before[1])
        )
        return before

    def renew(self) -> None:
        """Restart the assistant's processes."""
        for each in self.runner.running:
            self.runner.restart(each.container.name)
        self.runner.wait_ready()

    def log_lines(self) -> int:
        """Return the number of lines that the assistant's process has logged."""
        return self.runner.process("assistant").log.read_bytes().count(b"\n")

    def open_files(self) -> int:
        """Return the number of open file descriptors of the assistant's process."""
        return len(list(Path(f"/proc/{self.runner.process('assistant').pid}/fd").iterdir()))


@contextmanager
def deployed(port_base: int, directory: Path = DIRECTORY) -> Iterator[Deployed]:
    """Synthesize, deploy, seed and start; everything ends with the context."""
    options = Options(port_base=port_base, directory=directory)
    cloud = LocalAws(
        port=options.port("aws"),
        directory=directory,
        run_servers=True,
        deliver_within=DELIVER_WITHIN,
        mlflow_port=options.port("mlflow"),
        prometheus_port=options.port("prometheus"),
    )
    runner = Runner(cloud, api_port=options.port("api"))
    with demo_deployed(options, cloud, runner) as (deployment, users):
        yield Deployed(cloud, runner, deployment, users)
