"""The policy: which rule applies to a finding, and what is done about it. It is typed and built from
settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from fmops.guardrails.categories import Category, Group
from fmops.guardrails.types import Action, Decision, Direction, Finding, Role


def _category_or_group(value: object) -> object:
    if isinstance(value, str) and value not in {*Category, *Group}:
        known = ", ".join([*Group, *Category])
        raise ValueError(f"no category or group is called {value!r}; known are {known}")
    return value


Subject = Annotated[
    Category | Group,
    BeforeValidator(_category_or_group),
    WithJsonSchema({"type": "string", "enum": [*Group, *Category]}),
]


class Rule(BaseModel):
    """Action for findings of these categories in these directions. The first rule that matches a finding
    decides.

    ``threshold`` is the least score that counts. ``combine`` says how many of the detectors that look for the
    category and answered must agree: ``any`` one, a ``majority``, or ``all``; spans agree when they overlap.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    categories: tuple[Subject, ...] = Field(min_length=1)
    action: Action
    directions: frozenset[Direction] = frozenset(Direction)
    threshold: float = Field(default=0.5, ge=0, le=1)
    detectors: frozenset[str] = Field(
        default=frozenset(), description="detectors whose findings count; all when empty"
    )
    combine: Literal["any", "majority", "all"] = "any"
    disclosable: bool = Field(
        default=False, description="whether text that a tool has disclosed to this caller is let through"
    )

    @property
    def name(self) -> str:
        return f"{self.action.value} {','.join(self.categories)}"

    def matches(self, direction: Direction, category: Category, detector: str) -> bool:
        return (
            direction in self.directions
            and (category in self.categories or category.group in self.categories)
            and (not self.detectors or detector in self.detectors)
        )


_CALLS = frozenset({Direction.TOOL_ARGUMENTS, Direction.TOOL_RESULTS, Direction.RETRIEVED})
_FROM_OUTSIDE = frozenset({Direction.INPUT, Direction.TOOL_RESULTS, Direction.RETRIEVED})

DEFAULT_RULES: tuple[Rule, ...] = (
    Rule(categories=(Group.PROMPT_ATTACK,), action=Action.BLOCK, directions=_FROM_OUTSIDE, threshold=0.6),
    Rule(
        categories=(Group.CONTENT,),
        action=Action.BLOCK,
        directions=frozenset({Direction.INPUT, Direction.OUTPUT}),
        threshold=0.6,
    ),
    # The model's arguments can hold only text vetted on its way in, so the detector that needs no network
    # suffices.
    Rule(
        categories=(Group.SECRETS, Group.IDENTIFIERS),
        action=Action.REDACT,
        directions=frozenset({Direction.TOOL_ARGUMENTS}),
        detectors=frozenset({"secrets"}),
    ),
    Rule(
        categories=(Group.SECRETS, Group.IDENTIFIERS),
        action=Action.REDACT,
        directions=frozenset(Direction) - {Direction.TOOL_ARGUMENTS},
    ),
    Rule(
        categories=(Group.CONTACT,),
        action=Action.REDACT,
        directions=frozenset({Direction.INPUT, Direction.OUTPUT}),
        disclosable=True,
    ),
    Rule(
        categories=(Group.CUSTOM,),
        action=Action.BLOCK,
        directions=frozenset({Direction.INPUT, Direction.OUTPUT}),
        threshold=0.6,
    ),
)  # fmt: skip


class Policy:
    """Rules in the order in which they are tried. A finding that no rule matches is allowed."""

    def __init__(self, rules: Iterable[Rule] = DEFAULT_RULES) -> None:
        self.rules = tuple(rules)
        self.rule = lru_cache(maxsize=None)(self._rule)
        self.wanted = lru_cache(maxsize=None)(self._wanted)

    def decide(
        self,
        direction: Direction,
        findings: Iterable[Finding],
        coverage: Mapping[str, frozenset[Category]],
        role: Role = "user",
        disclosed: Callable[[Finding], bool] = lambda _: False,
    ) -> list[Decision]:
        """Return a decision for each finding that a rule matches.

        ``coverage`` names the detectors that answered and the categories each looks for. In a ``system``
        message, prompt attacks are ignored, since instructing the model is its purpose. ``disclosed`` says
        which findings the caller may see.
        """
        found = list(findings)
        decisions = []
        for finding in found:
            rule = self.rule(direction, finding.category, finding.detector)
            if rule is None or finding.score < rule.threshold:
                continue
            if role == "system" and finding.category.group is Group.PROMPT_ATTACK:
                continue
            if rule.disclosable and disclosed(finding):
                decisions.append(Decision(Action.ALLOW, "disclosed", finding, finding.detector))
            elif rule.combine == "any" or _agreed(rule, finding, found, coverage):
                decisions.append(Decision(rule.action, rule.name, finding, finding.detector))
        return decisions

    def severest(self, direction: Direction, detector: str, categories: frozenset[Category]) -> Action:
        """Return the most severe action that a finding of this detector could lead to in this direction."""
        rules = [self.rule(direction, category, detector) for category in categories]
        return max(
            (rule.action for rule in rules if rule), key=lambda action: action.severity, default=Action.ALLOW
        )

    def _rule(self, direction: Direction, category: Category, detector: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.matches(direction, category, detector)), None)

    def _wanted(
        self, direction: Direction, detector: str, categories: frozenset[Category]
    ) -> frozenset[Category]:
        """Return the categories for which this detector must be asked in this direction; none if nothing would
        follow."""
        return frozenset(
            category
            for category in categories
            if (rule := self.rule(direction, category, detector)) and rule.action is not Action.ALLOW
        )


def _agreed(
    rule: Rule, finding: Finding, findings: list[Finding], coverage: Mapping[str, frozenset[Category]]
) -> bool:
    voters = {
        detector
        for detector, categories in coverage.items()
        if finding.category in categories and (not rule.detectors or detector in rule.detectors)
    }
    supporters = {
        other.detector
        for other in findings
        if other.detector in voters
        and other.category is finding.category
        and other.score >= rule.threshold
        and (not finding.is_span or (other.begin < finding.end and finding.begin < other.end))
    }
    return len(supporters) == len(voters) if rule.combine == "all" else 2 * len(supporters) > len(voters)
