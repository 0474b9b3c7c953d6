"""Whether data outlives its stack."""

from enum import StrEnum

from aws_cdk import RemovalPolicy


class DataLifetime(StrEnum):
    """Whether data outlives its stack: one choice of removal policy, emptying and deletion protection
    together.
    """

    TEMPORARY = "temporary"
    RETAINED = "retained"

    @property
    def removal_policy(self) -> RemovalPolicy:
        """Removal policy of a resource that holds data. A first deployment that fails leaves nothing behind."""
        return (
            RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
            if self is DataLifetime.RETAINED
            else RemovalPolicy.DESTROY
        )

    @property
    def protected(self) -> bool:
        """Whether to turn on the deletion protection of services that have one."""
        return self is DataLifetime.RETAINED
