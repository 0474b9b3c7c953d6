"""Facts about a deployment for its operators' commands, read from the deployment itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

_SIGN_IN = "sign in, such as by `aws sso login`; for a local run that is serving, add LOCAL=1 to make"
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException")


class DeploymentError(Exception):
    """The deployment does not exist or lacks something; the message says what to do."""


class Deployment:
    """A deployment by its environment name, ``<prefix>-<profile>``, with the operator's credentials.

    ``outputs`` caches each stack's outputs.
    """

    def __init__(
        self,
        name: str,
        *,
        outputs: Mapping[str, Mapping[str, str]] | None = None,
        session: boto3.Session | None = None,
    ) -> None:
        self.name = name
        try:
            self._session = session or boto3.Session()
        except BotoCoreError as error:  # such as a profile in AWS_PROFILE that is not there
            raise DeploymentError(explained(error)) from error
        self._outputs: dict[str, Mapping[str, str]] = dict(outputs or {})

    def output(self, stack: str, key: str) -> str:
        """Return an output of one of its stacks. Raises ``DeploymentError``."""
        try:
            return self.outputs(stack)[key]
        except KeyError:
            raise DeploymentError(
                f"The stack {self.name}-{stack} has no output {key}: deploy it again."
            ) from None

    def outputs(self, stack: str) -> Mapping[str, str]:
        """Return the outputs of one of its stacks. Raises ``DeploymentError``."""
        if stack not in self._outputs:
            self._outputs[stack] = self._read(stack)
        return self._outputs[stack]

    def assistant_environment(self) -> dict[str, str]:
        """Return the environment variables of the running assistant, from its function or its task
        definition.
        """
        if "FunctionName" in self.outputs("Assistant"):
            name = self.output("Assistant", "FunctionName")
            configuration = self._session.client("lambda").get_function_configuration(FunctionName=name)
            return {
                "AWS_REGION": str(self._session.region_name),
                **configuration["Environment"]["Variables"],
            }
        ecs = self._session.client("ecs")
        cluster, service = self.output("Assistant", "ClusterName"), self.output("Assistant", "ServiceName")
        (found,) = ecs.describe_services(cluster=cluster, services=[service])["services"]
        task = ecs.describe_task_definition(taskDefinition=found["taskDefinition"])["taskDefinition"]
        containers: list[Mapping[str, Any]] = task["containerDefinitions"]
        return {
            pair["name"]: pair["value"]
            for container in containers
            if container["name"] == "assistant"
            for pair in container["environment"]
        }

    def adopt(self) -> None:
        """Set this process's variables to the assistant's, so that evaluations run what is deployed."""
        for name, value in self.assistant_environment().items():
            if name.startswith("FMOPS_") or name in ("MLFLOW_TRACKING_URI", "AWS_REGION"):
                os.environ.setdefault(name, value)

    def _read(self, stack: str) -> dict[str, str]:
        try:
            answer = self._session.client("cloudformation").describe_stacks(StackName=f"{self.name}-{stack}")
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ValidationError":
                raise DeploymentError(
                    f"{self.name} is not deployed in this account and region: give its PROFILE, or --environment"
                    " <prefix>-<profile>, and your AWS_REGION; for a local run that is serving, add LOCAL=1 to make."
                ) from error
            raise DeploymentError(explained(error)) from error
        return {each["OutputKey"]: each["OutputValue"] for each in answer["Stacks"][0].get("Outputs", [])}


def explained(error: BotoCoreError | ClientError) -> str:
    """Return a sentence for a call to AWS that failed, with the remedy."""
    if isinstance(error, ClientError):
        code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        if code in _EXPIRED:
            return f"AWS refused the credentials, which may have expired ({code}): {_SIGN_IN}."
        return f"AWS refused {error.operation_name} ({code}): {message}"
    match error:
        case EndpointConnectionError():
            url = error.kwargs.get("endpoint_url", "AWS")
            return (
                f"Nothing answers at {url}: check AWS_ENDPOINT_URL and the network; LOCAL=1 needs a local run that"
                " is serving, so start `make run` in another terminal and leave it running."
            )
        case NoCredentialsError() | PartialCredentialsError():
            return f"There are no AWS credentials in this shell: {_SIGN_IN}."
        case TokenRetrievalError() | UnauthorizedSSOTokenError():
            return f"The AWS sign-in has expired: {_SIGN_IN}."
        case NoRegionError():
            return (
                "There is no AWS region in this shell: set AWS_REGION; for a local run, add LOCAL=1 to make."
            )
    return f"{error}: check the AWS settings of this shell."


def operator() -> str:
    """Return the AWS identity of whoever runs this."""
    return str(boto3.client("sts").get_caller_identity()["Arn"])
