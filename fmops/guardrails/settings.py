"""The guardrails' settings: which detectors, what the policy does about their findings, and limits of time and
size.

``python -m fmops.guardrails`` prints the JSON schema that ``settings.schema.json`` holds, by which the
infrastructure checks a deployment's settings.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from fmops.guardrails.policy import DEFAULT_RULES, Policy, Rule
from fmops.guardrails.types import Direction

_STRICT = ConfigDict(frozen=True, extra="forbid")
LONGEST_TIMEOUT_MS = 60_000

KINDS = {
    "bedrock_checks": "fmops.guardrails.detectors.bedrock:BedrockChecks",
    "bedrock_guardrail": "fmops.guardrails.detectors.bedrock:BedrockGuardrail",
    "comprehend_pii": "fmops.guardrails.detectors.comprehend:ComprehendPii",
    "comprehend_prompt_safety": "fmops.guardrails.detectors.comprehend:ComprehendPromptSafety",
    "comprehend_toxicity": "fmops.guardrails.detectors.comprehend:ComprehendToxicity",
    "secrets": "fmops.guardrails.detectors.secrets:Secrets",
}


class DetectorSettings(BaseModel):
    """One detector.

    ``kind`` is a built-in one or ``package.module:Class``. ``on_error`` says what happens without an answer in
    time: ``closed`` (block, or flag if the detector could at most flag), ``open`` (continue, flagged as
    degraded), or the name of another detector to ask instead; one value for all directions, or one for each.
    ``on_language`` says what happens to text in a language that the detector does not know: ``ask`` it
    nevertheless and flag, ``flag`` without asking, ``block``, or the name of another detector. A ``standby``
    detector is asked only in place of another.
    """

    model_config = _STRICT

    kind: str = Field(min_length=1, json_schema_extra={"pattern": rf"^({'|'.join(KINDS)}|[\w.]+:\w+)$"})
    options: dict[str, Any] = {}
    timeout_ms: int = Field(default=1500, ge=1, le=LONGEST_TIMEOUT_MS)
    on_error: str | dict[Direction, str] = "closed"
    on_language: str = "ask"
    standby: bool = False

    def on_error_for(self, direction: Direction) -> str:
        if isinstance(self.on_error, str):
            return self.on_error
        return self.on_error.get(direction, "closed")


class StreamSettings(BaseModel):
    """Division of a streamed answer into windows, in characters.

    The first window ends with the first sentence, or earlier at ``first``; each further one is ``growth`` times
    as long, up to ``largest``. ``lookahead`` characters after a window's end and ``context`` characters before
    it are checked with it, so that no finding up to that length can be cut by its edge.
    """

    model_config = _STRICT

    first: int = Field(default=120, ge=1)
    growth: float = Field(default=2.0, ge=1)
    largest: int = Field(default=1200, ge=1)
    lookahead: int = Field(default=64, ge=0)
    context: int = Field(default=160, ge=0)


DEFAULT_DETECTORS: dict[str, DetectorSettings] = {
    "secrets": DetectorSettings(kind="secrets"),
    "pii": DetectorSettings(kind="comprehend_pii"),
    "toxicity": DetectorSettings(kind="comprehend_toxicity"),
    "checks": DetectorSettings(kind="bedrock_checks"),
}


class GuardrailSettings(BaseModel):
    """Everything about the guardrails that a deployment may set. ``{}`` means the defaults below.

    ``detectors`` extends and overrides ``DEFAULT_DETECTORS`` by name; ``null`` removes one. ``rules`` are tried
    before ``DEFAULT_RULES``, which ``default_rules: false`` leaves out.
    """

    model_config = _STRICT

    detectors: dict[str, DetectorSettings] = Field(default=DEFAULT_DETECTORS, validate_default=True)
    rules: tuple[Rule, ...] = ()
    default_rules: bool = True
    language: str = Field(
        default="en",
        pattern=r"^[a-z]{2}$",
        description="ISO 639-1 code assumed for text that is too short to tell",
    )
    identify_language: bool = True
    speculative: bool = Field(
        default=False, description="whether input checks overlap the model call, which a block cancels"
    )
    deadline_ms: int = Field(
        default=3000, ge=1, le=LONGEST_TIMEOUT_MS, description="seconds for one check, fallbacks included"
    )
    concurrency: int = Field(
        default=64,
        ge=1,
        le=512,
        description="maximum requests to one detector at once, and connections to its service",
    )
    attempts: int = Field(
        default=2, ge=1, le=5, description="maximum attempts of a request to a service, the first included"
    )
    cache_entries: int = Field(default=4096, ge=0)
    cache_seconds: float = Field(default=600, ge=0)
    longest_text: int = Field(
        default=1_048_576, ge=1, description="maximum bytes of UTF-8; longer text is blocked"
    )
    stream: StreamSettings = StreamSettings()

    @field_validator("detectors", mode="before")
    @classmethod
    def _over_the_defaults(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: each for name, each in {**DEFAULT_DETECTORS, **given}.items() if each is not None}

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        known = ", ".join(self.detectors) or "none"
        for name, detector in self.detectors.items():
            answers = (
                [detector.on_error] if isinstance(detector.on_error, str) else detector.on_error.values()
            )
            for field, answer, fixed in [
                *(("on_error", answer, ("closed", "open")) for answer in answers),
                ("on_language", detector.on_language, ("ask", "flag", "block")),
            ]:
                if answer not in fixed and (answer not in self.detectors or answer == name):
                    raise ValueError(
                        f"detectors.{name}.{field} is {answer!r}: it must be {', '.join(fixed)} or another detector"
                        f" (there are {known})"
                    )
        for index, rule in enumerate(self.rules):
            if unknown := rule.detectors - set(self.detectors):
                raise ValueError(f"rules.{index}.detectors names {sorted(unknown)}: there are {known}")
        return self

    def patient(self) -> GuardrailSettings:
        """Return the same settings with the longest time-outs, for work that no one waits for."""
        detectors = {
            name: each.model_copy(update={"timeout_ms": LONGEST_TIMEOUT_MS})
            for name, each in self.detectors.items()
        }
        return self.model_copy(update={"detectors": detectors, "deadline_ms": LONGEST_TIMEOUT_MS})

    def policy(self) -> Policy:
        """Return the rules in the order in which they are tried."""
        return Policy((*self.rules, *(DEFAULT_RULES if self.default_rules else ())))


def json_schema() -> dict[str, Any]:
    """Return the schema of the JSON that a deployment sets; the default of ``detectors`` is what it extends."""
    schema = GuardrailSettings.model_json_schema()
    detectors = schema["properties"]["detectors"]
    detectors["additionalProperties"] = {"anyOf": [detectors["additionalProperties"], {"type": "null"}]}
    schema["$defs"]["Rule"]["properties"]["directions"]["default"].sort()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
