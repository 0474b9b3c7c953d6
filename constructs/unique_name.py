"""Names that no other deployment of a stack has, for resources that outlive their stack."""

from aws_cdk import Fn, Stack
from constructs import Construct


def unique_name(scope: Construct, name: str) -> str:
    """Return the name followed by twelve characters of the stack's own id.

    They change when a stack is deleted and deployed again, so that a retained resource of the first deployment
    does not block the second.
    """
    identifier = Fn.select(2, Fn.split("/", Stack.of(scope).stack_id))
    return f"{name}-{Fn.select(4, Fn.split('-', identifier))}"
