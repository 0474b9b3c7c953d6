"""Properties that hold for every request, whatever the single policies say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.policies.desk import (
    AGES,
    AMOUNTS,
    CLAIM_TOOLS,
    FILES,
    GRANTED,
    OWN,
    PAY,
    REQUEST,
    TEMPLATE_FILES,
    Case,
    Engine,
    any_case,
    any_person,
    engine,
    files,
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    def choose(options: Sequence[Any]) -> Any:
        return draw(st.sampled_from(options))

    case = any_case(choose, any_person(choose))
    if "amount" in case.inputs:
        amount = draw(st.sampled_from(AMOUNTS) | st.integers(-(2**63), 2**63 - 1))
        return replace(case, inputs={**case.inputs, "amount": amount})
    return case


WHOLE = engine()
NO_FORBIDS = engine(without=lambda text: "\nforbid" in text)
NO_PERMITS = engine(without=lambda text: "\npermit" in text)
OPEN = '// Everything.\n@id("open")\npermit (principal, action, resource);'
FORBIDS = Engine(
    {name: text for name, text in files(FILES).items() if "\nforbid" in text} | {"open": OPEN}, {}
)

many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(cases())
def test_every_request_is_decided_without_an_error(case: Case) -> None:
    (answer,) = WHOLE.decide(case)
    assert answer.decision in ("Allow", "Deny")
    assert answer.errors == ()


@many
@given(cases())
def test_forbid_wins(case: Case) -> None:
    (without_permits,), (whole,) = FORBIDS.decide(case), WHOLE.decide(case)
    if not without_permits.allowed:
        assert not whole.allowed
        assert whole.because == without_permits.because


@many
@given(cases())
def test_there_is_no_path_without_a_permit(case: Case) -> None:
    (answer,) = WHOLE.decide(case)
    assert not NO_PERMITS.decide(case)[0].allowed
    if answer.allowed:
        assert answer.because
        rest = Engine(
            {name: text for name, text in files(FILES).items() if name not in answer.because},
            {name: text for name, text in files(TEMPLATE_FILES).items() if name not in answer.because},
        )
        assert not rest.decide(case)[0].allowed


@many
@given(cases(), st.integers(1, 5_000_000))
def test_who_may_pay_an_amount_may_pay_less(case: Case, less: int) -> None:
    if case.action != PAY or not WHOLE.decide(case)[0].allowed:
        return
    smaller = replace(case, inputs={**case.inputs, "amount": min(less, case.inputs["amount"])})
    assert WHOLE.decide(smaller)[0].allowed


@many
@given(cases())
def test_money_never_exceeds_a_supervisors_limit_nor_what_is_open(case: Case) -> None:
    if case.action in (PAY, REQUEST) and WHOLE.decide(case)[0].allowed:
        assert 0 < case.inputs["amount"] <= case.resource["attrs"]["openAmount"]
        assert case.inputs["amount"] + case.inputs.get("earlier", 0) <= 5_000_000
        assert case.person.mfa
        assert case.person.sign_in_age <= max(age for age in AGES if age <= 28_800)
        assert not case.resource["attrs"]["siuHold"]


@many
@given(cases())
def test_regions_are_apart(case: Case) -> None:
    """Check that people outside a region read only what is their own, on hold, audited, granted or public, and
    change only holds."""
    region = case.resource["attrs"].get("region")
    if region is None or region == case.person.region or not WHOLE.decide(case)[0].allowed:
        return
    attributes, groups = case.resource["attrs"], case.person.groups
    if case.action == "get_claim":
        assert (
            "auditors" in groups
            or ("siu" in groups and attributes["siuHold"])
            or ("customers" in groups and attributes.get("claimantUser") == OWN["claimantUser"])
            or case.resource["uid"]["id"] == GRANTED
        )
    elif case.action == "add_claim_note":
        assert "siu" in groups and attributes["siuHold"]
    else:
        assert case.action == "read_document" and attributes["classification"] == "public"


@many
@given(cases())
def test_nobody_deals_with_a_claim_of_their_own(case: Case) -> None:
    if case.action in (*CLAIM_TOOLS, PAY, REQUEST) and case.action != "get_claim":
        own = replace(case, resource={**case.resource, "attrs": {**case.resource["attrs"], **OWN}})
        assert not WHOLE.decide(own)[0].allowed


@many
@given(cases())
def test_nobody_acts_while_suspended_or_without_a_group_that_may(case: Case) -> None:
    assert not WHOLE.decide(replace(case, person=replace(case.person, suspended=True)))[0].allowed
    nobody = replace(case, person=replace(case.person, groups=()))
    if WHOLE.decide(nobody)[0].allowed:
        assert WHOLE.decide(nobody)[0].because <= {
            "documents-public",
            "knowledge-base-search",
            "grant-claim-reader",
        }
