"""Refusals by routes: each is raised where it is decided, and one handler answers all in OpenAI's shape."""

from __future__ import annotations

from typing import ClassVar


class RouteError(Exception):
    """A refusal with its HTTP status and OpenAI's ``type`` and ``code``. ``message`` is the text when none is
    given."""

    status: ClassVar[int]
    kind: ClassVar[str] = "invalid_request_error"
    code: ClassVar[str]
    message: ClassVar[str] = ""
    param: ClassVar[str | None] = None
    retry_after: ClassVar[int | None] = None
    """Seconds after which trying again makes sense."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.message)


class ApprovalNotFoundError(RouteError):
    """No such call exists for this person."""

    status, code = 404, "approval_not_found"
    message = "There is no such approval, or it is not yours to see."


class ApprovalNotPermittedError(RouteError):
    """This person may not decide this call."""

    status, kind, code = 403, "permission_error", "approval_not_permitted"
    message = "You may not decide this: ask someone who may."


class ApprovalDecidedError(RouteError):
    """Someone has decided this call, or is about to."""

    status, kind, code = 409, "conflict_error", "approval_decided"
    message = "This has been decided, or is being decided at this moment."


class DocumentNotFoundError(RouteError):
    """No such document exists for this person."""

    status, code = 404, "document_not_found"
    message = "There is no such document, or you may not read it."


class DocumentsUnavailableError(RouteError):
    """The knowledge base does not answer."""

    status, kind, code = 503, "server_error", "documents_unavailable"
    message = "The documents cannot be read at the moment: try again."
    retry_after = 2


class ApprovalsUnknownError(RouteError):
    """The policies could not be asked what this person may decide."""

    status, kind, code = 503, "server_error", "approvals_unknown"
    message = "What you may decide could not be checked at the moment: try again."


class ReviewNotPermittedError(RouteError):
    """The policies do not let this person review."""

    status, kind, code = 403, "permission_error", "review_not_permitted"
    message = "You may not review: ask an administrator for the group reviewers."


class BlockedTextError(RouteError):
    """Guardrails block a reviewer's text."""

    status, code = 422, "content_filter"
    message = "Guardrails block this text: say it in other words."


class DraftingNotPermittedError(RouteError):
    """The policies do not let this person edit documents."""

    status, kind, code, param = 403, "permission_error", "drafting_not_permitted", "edit_documents"
    message = "You may not edit documents: it takes the group reviewers, and a sign-in with a second factor."


class GapNotFoundError(RouteError):
    """The last report has no such gap."""

    status, code = 404, "gap_not_found"
    message = "The last report has no such gap: load the page again."


class DraftNotFoundError(RouteError):
    """No such draft exists."""

    status, code = 404, "draft_not_found"
    message = "There is no such draft."


class DraftTakenError(RouteError):
    """The gap has a draft or a document."""

    status, kind, code = 409, "conflict_error", "draft_exists"
    message = "There is a draft or a document for this gap already: open it, or discard the draft first."


class DraftConflictError(RouteError):
    """Somebody else has changed the draft in the meantime."""

    status, kind, code = 409, "conflict_error", "draft_changed"
    message = "The draft was changed, published or discarded in the meantime: copy what you wrote, and load it again."


class DraftUnusableError(RouteError):
    """No draft can be made, or it cannot be published; the message says why and what to do."""

    status, code = 422, "draft_unusable"


class PlaygroundNotPermittedError(RouteError):
    """The policies do not let this person edit prompts; the message names the action and the remedy."""

    status, kind, code, param = 403, "permission_error", "playground_not_permitted", "edit_prompts"


class HomeNotPermittedError(RouteError):
    """The policies do not let this person open what a card of the home page leads to."""

    status, kind, code = 403, "permission_error", "home_not_permitted"
    message = "You may not open this: ask an administrator for the group reviewers or operators."


class ReportNotFoundError(RouteError):
    """The analysis has written no report yet."""

    status, code = 404, "report_not_found"
    message = "There is no report yet: the analysis writes one when it has run."


class UnknownChoiceError(RouteError):
    """A case or a model cannot be chosen; the message names the choices."""

    status, code = 404, "unknown_choice"


class TraceNotFoundError(RouteError):
    """No such trace exists for this person."""

    status, code = 404, "trace_not_found"
    message = "There is no such trace, or it is not yours to see."


class TraceNotArrivedError(RouteError):
    """Nothing of the trace has arrived yet in the time that was searched."""

    status, code, retry_after = 404, "trace_not_arrived", 3
    message = (
        "This trace has not arrived yet. Spans are sent in batches: try again in some seconds, or give the time of an "
        "older request."
    )


class TraceExpiredError(RouteError):
    """The request is older than the time for which traces are kept."""

    status, code = 410, "trace_expired"
    message = "This trace is gone: traces are kept for 30 days. The captured record still has the decisions."


class UnreadableTracesError(RouteError):
    """X-Ray did not answer, or not in time."""

    status, kind, code, retry_after = 503, "server_error", "traces_unavailable", 5
    message = "The traces cannot be read at the moment: try again in some seconds."


class RegistryUnavailableError(RouteError):
    """The prompt registry did not answer."""

    status, kind, code = 503, "server_error", "registry_unavailable"
