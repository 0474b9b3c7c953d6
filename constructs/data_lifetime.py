"""How long data outlives its stack."""

from enum import StrEnum

from aws_cdk import RemovalPolicy


class DataLifetime(StrEnum):
    """One choice that drives removal policy, emptying and deletion protection together."""

    TEMPORARY = "temporary"
    RETAINED = "retained"

    @property
    def removal_policy(self) -> RemovalPolicy:
        """Return the fate of a resource with data that leaves its stack; a first deployment that fails leaves
        nothing."""
        return (
            RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE
            if self is DataLifetime.RETAINED
            else RemovalPolicy.DESTROY
        )

    @property
    def protected(self) -> bool:
        """Whether a service that can refuse the deletion of data is told to."""
        return self is DataLifetime.RETAINED
