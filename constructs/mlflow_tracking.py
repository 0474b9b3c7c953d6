"""Common parts of SageMaker's two kinds of MLflow: artifacts under a prefix of a bucket, and access to them."""

from collections.abc import Sequence

from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct
from constructs.acknowledge import acknowledge_keys


class MlflowTracking(Construct):
    """The base of SageMaker's two kinds of MLflow.

    Args:
        bucket: Bucket for the artifacts, encrypted with a customer managed key or not.
        artifact_prefix: Key prefix of the artifacts, without slashes at the ends.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        bucket: s3.Bucket,
        artifact_prefix: str,
    ) -> None:
        super().__init__(scope, id)
        self._bucket, self._artifact_prefix = bucket, artifact_prefix
        self.role = self._build_role(bucket, artifact_prefix)

    @property
    def arn(self) -> str:
        """MLflow's tracking URI."""
        raise NotImplementedError

    def grant_use(self, role: iam.Role) -> None:
        """Allow a role to call MLflow's API."""
        raise NotImplementedError

    def grant_open(self, role: iam.Role) -> None:
        """Allow a role to make addresses that open MLflow's pages in a browser, for one visit each."""
        raise NotImplementedError

    def grant_read_artifacts(self, role: iam.Role) -> None:
        """Allow a role to read artifacts, such as the spans of traces, which MLflow's client fetches from
        the bucket itself."""
        self._grant_artifacts(role, "s3:GetObject", key_use=("kms:Decrypt",))

    def grant_write_artifacts(self, role: iam.Role) -> None:
        """Allow a role to read and write artifacts."""
        self._grant_artifacts(
            role, "s3:GetObject", "s3:PutObject", key_use=("kms:Decrypt", "kms:GenerateDataKey")
        )

    def _grant_artifacts(self, role: iam.Role, *actions: str, key_use: Sequence[str]) -> None:
        keys = f"{self._artifact_prefix}/*"
        role.add_to_policy(
            iam.PolicyStatement(actions=list(actions), resources=[self._bucket.arn_for_objects(keys)])
        )
        if self._bucket.encryption_key is not None:
            self._bucket.encryption_key.grant(role, *key_use)
        acknowledge_keys(role, "Each run and trace has artifacts of its own.", self._bucket, keys)

    def _build_role(self, bucket: s3.Bucket, artifact_prefix: str) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:GetObject", "s3:PutObject"],
                resources=[bucket.arn_for_objects(f"{artifact_prefix}/*")],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[bucket.bucket_arn],
                conditions={"StringLike": {"s3:prefix": [artifact_prefix, f"{artifact_prefix}/*"]}},
            )
        )
        if bucket.encryption_key is not None:
            bucket.encryption_key.grant(role, "kms:Decrypt", "kms:GenerateDataKey")
        reason = (
            "Artifacts get new names all the time: the role is limited to the keys under the App's prefix."
        )
        acknowledge_keys(role, reason, bucket, f"{artifact_prefix}/*")
        return role
