"""Each tool call is decided by Cedar policies in Amazon Verified Permissions, before it runs."""

from fmops.authorization.authorizer import AuthorizationRequest, Authorizer, Decision
from fmops.authorization.entities import Entity, EntityUid
from fmops.authorization.middleware import AuthorizationContext, AuthorizationMiddleware

__all__ = [
    "AuthorizationContext",
    "AuthorizationMiddleware",
    "AuthorizationRequest",
    "Authorizer",
    "Decision",
    "Entity",
    "EntityUid",
]
