"""Authorization: Cedar policies in Amazon Verified Permissions decide each tool call before it runs."""

from fmops.authorization.authorizer import AuthorizationRequest, Authorizer, Decision
from fmops.authorization.catalog import PolicyCatalog
from fmops.authorization.entities import Entity, EntityUid
from fmops.authorization.middleware import (
    ApprovedCall,
    AuthorizationContext,
    AuthorizationMiddleware,
    human_approval,
)

__all__ = [
    "ApprovedCall",
    "AuthorizationContext",
    "AuthorizationMiddleware",
    "AuthorizationRequest",
    "Authorizer",
    "Decision",
    "Entity",
    "EntityUid",
    "PolicyCatalog",
    "human_approval",
]
