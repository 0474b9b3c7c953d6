"""Calls of a knowledge base under its own role: embed texts, read its source, read and write its vectors.

The texts of errors are those that people report from the service.
"""

from __future__ import annotations

import json
from typing import Any

from botocore.config import Config
from botocore.exceptions import ClientError

from local.aws.iam.permissions import AccessDenied
from local.aws.kernel.api import Caller, Context, ServiceError, validation_error
from local.aws.kernel.cloud import Cloud
from local.aws.kernel.credentials import TemporaryCredentials
from local.aws.services.bedrock import models
from local.aws.services.bedrock.catalog import Catalog
from local.aws.services.bedrock_agent.state import SERVICE, KnowledgeBase

PRINCIPAL = "bedrock.amazonaws.com"
PRODUCTS = {"bedrock-runtime": "BedrockRuntime", "s3vectors": "S3Vectors", "s3": "S3", "kms": "Kms"}
# A request with hundreds of vectors takes longer to check than to answer, and ours are right.
UNCHECKED = Config(retries={"total_max_attempts": 1}, parameter_validation=False, max_pool_connections=64)


class RoleDenied(Exception):  # noqa: N818 - an answer of a service
    """A call under the role was refused; the text is what Bedrock says of it."""


class BaseRole:
    """The role of a knowledge base, as Bedrock acts under it."""

    def __init__(self, cloud: Cloud, base: KnowledgeBase) -> None:
        self.cloud = cloud
        self.base = base

    def credentials(self) -> TemporaryCredentials:
        """Assume the role, which must trust Bedrock for this knowledge base. ValidationException if it does not."""
        try:
            return self.cloud.assume(
                self.base.role_arn, PRINCIPAL, session=self.base.base_id, source_arn=self.base.arn
            )
        except (ClientError, AccessDenied) as error:
            raise validation_error(
                "Bedrock Knowledge Base was unable to assume the given role. "
                "Provide the proper permissions and retry the request."
            ) from error

    def client(self, service: str) -> Any:
        return self.cloud.client(service, role=self.credentials(), config=UNCHECKED)

    def embed(self, text: str) -> list[float]:
        """Return the embedding of a text, by the model and with the dimension of the knowledge base."""
        body = {"inputText": text, "dimensions": self.base.dimension, "normalize": True}
        answer = self.client("bedrock-runtime").invoke_model(
            modelId=self.base.model_arn, body=json.dumps(body), contentType="application/json"
        )
        numbers: list[float] = json.loads(answer["body"].read())["embedding"]
        return numbers

    def check_embedding(self) -> None:
        """Raise ValidationException unless the role may call the model, and the model embeds."""
        try:
            self.authorize("bedrock-runtime", "InvokeModel", {"modelId": self.base.model_arn})
            self.cloud.state(Catalog).check_access(self.base.model_arn.rpartition("/")[2])
            model = models.resolve(self.base.model_arn, self.cloud.region)
        except (AccessDenied, ServiceError) as error:
            status = 400 if getattr(error, "code", "") == "ValidationException" else 403
            raise validation_error(
                f"Knowledge base role {self.base.role_arn} is not able to call specified bedrock embedding model "
                f"{self.base.model_arn}: {error} (Service: BedrockRuntime, Status Code: {status})"
            ) from error
        if not model.embedding:
            raise validation_error(f"The model {self.base.model_arn} is not an embedding model")

    def check_index(self) -> None:
        """Raise ValidationException unless the role reaches the index, and the embeddings fit into it."""
        try:
            index = self.client("s3vectors").get_index(indexArn=self.base.index_arn)["index"]
        except ClientError as error:
            raise _invalid_storage(said(error, "s3vectors")) from error
        if index["dimension"] != self.base.dimension:
            raise _invalid_storage(
                f"the index has {index['dimension']} dimensions, and the embeddings have {self.base.dimension}"
            )

    def authorize(self, service: str, operation: str, params: dict[str, Any]) -> None:
        """Raise AccessDenied unless the role may make a call, without making it."""
        credentials = self.credentials()
        context = Context(
            cloud=self.cloud,
            service=service,
            operation=operation,
            region=self.cloud.region,
            account=self.cloud.account,
            caller=Caller(credentials.caller.arn, credentials.role_arn, credentials.access_key),
            headers={},
        )
        self.cloud.authorize(context, lambda: params)

    def use_source_key(self, key_arn: str) -> None:
        """Raise AccessDenied unless the role may use the key that encrypts what an ingestion keeps for a moment."""
        self.authorize(SERVICE, "EncryptTransientData", {"kmsKeyArn": key_arn})


def _invalid_storage(why: str) -> ServiceError:
    return validation_error(f"The knowledge base storage configuration provided is invalid... {why}")


def said(error: ClientError, service: str) -> str:
    """Return what a service answered, as Bedrock repeats it."""
    response = error.response
    status = response["ResponseMetadata"]["HTTPStatusCode"]
    return f"{response['Error']['Message']} (Service: {PRODUCTS[service]}, Status Code: {status})"


def is_denial(error: ClientError) -> bool:
    return error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
