"""The parts behind the pages, made from the settings: the desks of reviewers and editors, the playground, and home."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fmops.agent import NAME, PROMPT
from fmops.agent.resources import Resolver
from fmops.assistant.approvals import Approvals
from fmops.assistant.draft_desk import DraftDesk
from fmops.assistant.elsewhere import Elsewhere
from fmops.assistant.home import Home
from fmops.assistant.playground import Playground
from fmops.assistant.review_desk import ReviewDesk
from fmops.assistant.settings import AssistantSettings
from fmops.authorization import Authorizer
from fmops.conversation.spending import TurnBudgets
from fmops.conversation.turns import Turns
from fmops.drafting.objects import Objects
from fmops.guardrails import GuardrailEngine
from fmops.identity.tokens import Pseudonyms
from fmops.prompts import packaged
from fmops.review.mlflow_review import MlflowReview
from fmops.telemetry.model import MeasuredChatBedrock
from fmops.toolkit.knowledge import KnowledgeStore
from fmops.variants.variant import Workbench

if TYPE_CHECKING:
    from fmops.evaluation.registry import PromptRegistry


def review_desk(
    settings: AssistantSettings,
    permissions: Any,
    resolver: Resolver,
    documents: KnowledgeStore,
    guardrails: GuardrailEngine,
    pseudonyms: Pseudonyms,
) -> ReviewDesk | None:
    """Return the desk for human review, or None without MLflow."""
    if not settings.tracking_uri:
        return None
    return ReviewDesk(
        MlflowReview(settings.tracking_uri),
        authorizer=Authorizer(permissions, settings.policy_store_id),
        resolver=resolver,
        documents=documents,
        guardrails=guardrails,
        pseudonyms=pseudonyms,
    )


def draft_desk(
    settings: AssistantSettings,
    s3: Any,
    permissions: Any,
    resolver: Resolver,
    documents: KnowledgeStore,
    guardrails: GuardrailEngine,
    pseudonyms: Pseudonyms,
    model: MeasuredChatBedrock,
    turn_budgets: TurnBudgets | None,
) -> DraftDesk | None:
    """Return the desk for drafted documents, or None without a knowledge base to publish them in."""
    if not (settings.knowledge_base_id and settings.documents_bucket and settings.lake_bucket):
        return None
    return DraftDesk(
        Objects(s3, settings.lake_bucket),
        Objects(s3, settings.documents_bucket),
        model=model,
        model_id=settings.model_id,
        store=documents,
        guardrails=guardrails,
        authorizer=Authorizer(permissions, settings.policy_store_id),
        resolver=resolver,
        pseudonyms=pseudonyms,
        turn_budgets=turn_budgets,
    )


def playground(
    settings: AssistantSettings,
    permissions: Any,
    resolver: Resolver,
    turn_budgets: TurnBudgets | None,
    turns: Turns,
) -> Playground | None:
    """Return the playground for prompts, or None without MLflow."""
    if not settings.tracking_uri:
        return None
    return Playground(
        lambda: Workbench(
            region=settings.region,
            policy_store_id=settings.policy_store_id,
            principal_prefix=settings.principal_prefix,
            embedding_model_id=settings.embedding_model_id,
            max_output_tokens=settings.max_output_tokens,
            knowledge_base_id=settings.knowledge_base_id,
            minimum_similarity=settings.minimum_similarity,
        ),
        lambda: _prompt_registry(settings.tracking_uri),
        authorizer=Authorizer(permissions, settings.policy_store_id),
        resolver=resolver,
        guardrails=settings.guardrails,
        models=list(dict.fromkeys([settings.model_id, *settings.playground_models])),
        packaged=packaged(NAME, PROMPT),
        turn_budgets=turn_budgets,
        turns=turns,
    )


def home(
    settings: AssistantSettings,
    elsewhere: Elsewhere,
    approvals: Approvals,
    review: ReviewDesk | None,
    drafting: DraftDesk | None,
    authorizer: Authorizer,
    resolver: Resolver,
) -> Home:
    """Return the home page."""
    return Home(
        approvals=approvals,
        review=review,
        drafting=drafting,
        registry=(lambda: _prompt_registry(settings.tracking_uri)) if settings.tracking_uri else None,
        elsewhere=elsewhere,
        authorizer=authorizer,
        resolver=resolver,
    )


def _prompt_registry(tracking_uri: str) -> PromptRegistry:
    # Imported here because it takes seconds, which only those who edit prompts should wait for.
    from fmops.evaluation.registry import PromptRegistry

    return PromptRegistry(tracking_uri)
