"""Shapes of the answers, for the OpenAPI document only: routes return plain objects, and tests compare both."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """An object whose fields are all named here."""

    model_config = ConfigDict(extra="forbid")


class ErrorDetail(Shape):
    """OpenAI's error, without any text that was sent."""

    message: str = Field(description="what is wrong and what to do about it, in a sentence")
    type: str = Field(description="the kind of error, such as `invalid_request_error`")
    param: str | None = Field(description="the field that is wrong, such as `messages.0.role`")
    code: str | None = Field(description="the error's stable name")
    interaction_id: str | None = Field(None, description="the captured record of the failed answer")
    trace_id: str | None = Field(None, description="the trace of the failed answer")


class Error(Shape):
    """The body of every answer other than success."""

    error: ErrorDetail


class Model(Shape):
    """The one model that clients may name."""

    id: str
    object: Literal["model"]
    owned_by: str


class Models(Shape):
    """The list of models."""

    object: Literal["list"]
    data: list[Model]


class Usage(Shape):
    """Tokens of the whole turn, all calls of the model together."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class GuardrailOutcome(Shape):
    """Decision of the guardrails about a text, without the text."""

    direction: str = Field(description="`input`, `output`, or the direction of a tool's text")
    action: str = Field(description="`block`, `redact` or `flag`")
    detector: str
    reason: str
    degraded: bool = Field(description="whether a detector failed and its policy decided instead")


class WaitingApproval(Shape):
    """A tool call that waits for a person."""

    id: str
    tool: str


class ToolCall(Shape):
    """A tool call and how it ended."""

    name: str
    status: str


class PolicyDecision(Shape):
    """Whether the policies permitted a tool call."""

    action: str
    decision: str = Field(description="`ALLOW` or `DENY`")
    reason: str
    policies: list[str] = Field(description="names of the policies that decided")


class Source(Shape):
    """A document that the model was given."""

    document_id: str
    title: str


class Details(Shape):
    """Decisions of each layer, in addition to OpenAI's fields."""

    guardrails: list[GuardrailOutcome]
    approvals: list[WaitingApproval]
    tools: list[ToolCall]
    decisions: list[PolicyDecision]
    sources: list[Source]
    cost_usd: float | None = Field(description="list price of the tokens; null for a model without a price")
    budget_exceeded: bool
    prompt: str = Field(description="name and version of the prompt")
    trace_id: str


FinishReason = Literal["stop", "length", "content_filter", "error"] | None


class UrlCitation(Shape):
    """A document that the answer was made from, and the part of the answer that cites it."""

    start_index: int = Field(
        description="first character of that part: where the document is mentioned, or 0"
    )
    end_index: int = Field(description="character after it")
    title: str
    url: str = Field(description="`/v1/documents/{id}?page={n}`: the passages, for those who may read them")


class Annotation(Shape):
    """OpenAI's annotation of an answer."""

    type: Literal["url_citation"]
    url_citation: UrlCitation


class AnswerMessage(Shape):
    """The assistant's words."""

    role: Literal["assistant"]
    content: str
    annotations: list[Annotation]


class Choice(Shape):
    """The one answer. A guardrail that blocks ends it with `content_filter`, a spent budget with `length`."""

    index: int
    message: AnswerMessage
    finish_reason: FinishReason
    logprobs: None


class ChatCompletion(Details):
    """An answer as one object."""

    id: str = Field(description="the interaction's id, to be used in feedback")
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: Usage


class Delta(Shape):
    """The words that one event adds."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    annotations: list[Annotation] | None = Field(
        default=None, description="citations of the whole answer, in the event before the last one"
    )


class ChunkChoice(Shape):
    """The part of the answer that one event carries."""

    index: int
    delta: Delta
    finish_reason: FinishReason
    logprobs: None


class ChatChunk(BaseModel):
    """One event of a streamed answer: `data: {…}`, then an empty line; `data: [DONE]` ends the stream.

    The event with the finish reason also carries the fields of ``Details``. A failure after the first event is
    an event with `error`, as in ``Error``.
    """

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None


class FeedbackAccepted(Shape):
    """The record of a rating."""

    feedback_id: str


class Greeting(Shape):
    """Greeting and suggested questions, which the chat page shows at its start."""

    title: str
    model: str
    greeting: str
    questions: list[str]


class Me(Shape):
    """The caller, as the token and the policies know them."""

    name: str
    groups: list[str]
    pages: list[str] = Field(description="pages that the caller may use")
    waiting: int = Field(description="number of tool calls that wait for the caller's decision")


class Passage(Shape):
    """A passage of a document, as it is found by a search."""

    page: int | None = Field(description="page of a PDF on which it begins, from 1 on")
    text: str


class Document(Shape):
    """A document, or the page of it that was asked for."""

    id: str
    title: str
    text: str = Field(description="all passages, each with its page in front if it has one")
    passages: list[Passage]


class Approval(Shape):
    """A tool call that waits, or waited, for approval."""

    id: str
    tool: str
    arguments: dict[str, Any]
    title: str
    facts: dict[str, str]
    requested_by: str
    requested_at: str
    expires_at: str
    status: Literal["waiting", "running", "approved", "rejected"]
    decided_by: str
    decided_at: str
    answer: str = Field(description="the assistant's words after the decision")


class PolicyInWords(Shape):
    """A policy that made the call wait."""

    name: str
    description: str


class InboxEntry(Approval):
    """A tool call in the caller's inbox."""

    policies: list[PolicyInWords]
    mine: bool
    may_decide: bool
    why_not: str


class Inbox(Shape):
    """Calls that the caller requested, decided or may decide."""

    object: Literal["list"]
    data: list[InboxEntry]


class Waiting(Shape):
    """Number of calls that wait for the caller's decision."""

    waiting: int


class Card(BaseModel):
    """A card of the home page; some have further fields."""

    name: str
    state: dict[str, Any] | None = Field(description="how it stands; `unread` says why it is not known")
    link: str


class Cards(Shape):
    """The caller's cards."""

    cards: list[Card]


class Address(Shape):
    """An address that opens without a token for some minutes."""

    url: str


class Health(Shape):
    """The service is alive or ready."""

    status: Literal["ok"]


class SignInAddresses(BaseModel):
    """Addresses at which people sign in, or the reason why they cannot."""

    available: bool
    reason: str | None = None
    client_id: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    end_session_endpoint: str | None = None
    revocation_endpoint: str | None = None
    logout: Literal["cognito", "oidc"] | None = None
    scope: str | None = None
