"""The table is usable, and the judge finds everything that must not happen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import botocore.session
import pytest

from checks.faults.judge import Observed, problems
from checks.faults.scenario import Scenario, ScenarioError, load
from checks.faults.traffic import Outcome

SERVICES = {
    "bedrock-agent-runtime",
    "bedrock-runtime",
    "cloudwatch",
    "cognito-idp",
    "comprehend",
    "dynamodb",
    "firehose",
    "s3",
    "verifiedpermissions",
}
UNSIGNED = {("cognito-idp", "GetSigningKeys")}
FAULT = {"service": "firehose", "kind": "throttle"}


def scenario(**changes: Any) -> Scenario:
    return Scenario.model_validate({"name": "a", "what": "b", "faults": [FAULT], **changes})


def outcome(number: int = 0, **changes: Any) -> Outcome:
    given = {
        "streamed": False,
        "status": 200,
        "interaction_id": f"int-{number}",
        "finish": "stop",
        "seconds": 1.0,
    }
    return Outcome(**(given | changes))


def observed(*outcomes: Outcome, **changes: Any) -> Observed:
    captured = Counter(each.interaction_id for each in outcomes if each.interaction_id)
    given = {"captured": captured, "hits": 1, "recovered_after": 0.1, "cleared": 100.0}
    return Observed(outcomes=outcomes, **(given | changes))


def call(
    began: float = 99.0, ended: float | None = 99.5, operation: str = "PutRecordBatch"
) -> dict[str, Any]:
    return {"service": "firehose", "operation": operation, "began": began, "ended": ended}


def test_every_fault_of_the_table_is_of_an_operation_that_there_is() -> None:
    session = botocore.session.get_session()
    for each in load():
        for fault in each.faults:
            if fault.service == "*":
                continue
            assert fault.service in SERVICES
            operations = session.get_service_model(fault.service).operation_names
            known = "*" in fault.operation or (fault.service, fault.operation) in UNSIGNED
            # Newer than botocore's own model; the local AWS has the operation's model.
            known = known or fault.operation == "InvokeGuardrailChecks"
            assert known or fault.operation in operations, each.name


def test_the_table_has_what_must_be_tried() -> None:
    kinds = {(fault.service, fault.kind) for each in load() for fault in each.faults}
    for service in ("firehose", "bedrock-runtime", "comprehend", "verifiedpermissions"):
        assert {(service, "hang"), (service, "error"), (service, "garbage")} <= kinds
    assert {
        ("firehose", "partial"),
        ("firehose", "throttle"),
        ("bedrock-runtime", "cut"),
        ("*", "expired"),
    } <= kinds
    assert {("cognito-idp", "hang"), ("dynamodb", "throttle"), ("s3", "error"), ("*", "skew")} <= kinds
    assert any(each.kill == "assistant" and not each.stop for each in load())


@pytest.mark.parametrize("name", ["checks", "guardrail", "permissions"])
def test_what_fails_closed_is_held_to_it(name: str) -> None:
    rows = [each for each in load() if each.name.startswith(f"{name}-")]
    assert len(rows) >= 3
    for each in rows:
        assert each.expect.answered == "none" or not each.expect.executed


def test_what_is_as_expected_has_no_problem() -> None:
    assert problems(scenario(), observed(outcome(1), outcome(2))) == []


@pytest.mark.parametrize(
    ("expect", "found", "said"),
    [
        ({}, observed(outcome(1), captured=Counter()), "1 interactions are not in the lake, such as int-1"),
        ({}, observed(outcome(status=503, finish="", code="x")), "got the status 503, not 200"),
        ({}, observed(outcome(status=0, problem="ReadTimeout")), "got no answer at all"),
        ({}, observed(outcome(problem="the stream has no end")), "did not come to their end: the stream"),
        ({}, observed(outcome(seconds=21)), "took longer than 20 s, up to 21.0 s"),
        ({"log_lines": 20}, observed(outcome(), log_lines=21), "21 lines of log for each request"),
        ({}, observed(outcome(), hits=0), "the scenario shows nothing"),
        ({}, observed(outcome(), recovered_after=None), "did not recover in 20 s"),
        ({}, observed(outcome(), calls=[call(began=70.0)]), "a call lasted 29.5 s"),
        ({}, observed(outcome(), calls=[call(began=70.0, ended=None)]), "a call lasted 30.0 s"),
        ({"answered": "none"}, observed(outcome()), "1 of 1 were answered, and none should be"),
        ({"answered": "some"}, observed(outcome(finish="content_filter")), "0 of 1 were answered"),
        ({"executed": False}, observed(outcome(), changed=True), "a tool changed the records"),
        ({"calls": {"firehose:PutRecordBatch": 2}}, observed(outcome(), calls=[call()] * 3), "3.0 calls of firehose"),
        (
            {"statuses": [503], "codes": ["a"], "answered": "none"},
            observed(outcome(status=503, finish="", code="b")),
            "errors b, not a",
        ),
    ],
)  # fmt: skip
def test_each_thing_that_must_not_be_is_a_sentence(
    expect: dict[str, Any], found: Observed, said: str
) -> None:
    assert said in "\n".join(problems(scenario(expect=expect), found))


def test_an_answer_that_a_kill_cut_off_need_not_be_recorded_where_the_row_says_so() -> None:
    cut = observed(outcome(1, problem="ReadError"), outcome(2), captured=Counter(["int-2"]))
    expect = {"statuses": [0, 200], "records": "answered"}
    assert problems(scenario(expect=expect), cut) == []
    assert "int-1" in "\n".join(problems(scenario(expect=expect | {"records": "all"}), cut))


def test_only_what_was_answered_at_the_kill_may_be_lost_with_the_memory() -> None:
    late, early = outcome(1, ended=99.5), outcome(2, ended=90.0)
    expect = {"records": "answered"}
    found = observed(late, early, killed=100.0, captured=Counter(["int-2"]))
    assert problems(scenario(expect=expect), found) == []
    assert found.figures(scenario().expect)["lost_in_memory"] == 1
    found = observed(late, early, killed=100.0, captured=Counter(["int-1"]))
    assert "int-2" in "\n".join(problems(scenario(expect=expect), found))


@pytest.mark.parametrize(
    ("job", "changes", "said"),
    [
        ({"name": "analyse"}, {"job": "failed", "job_again": "done"}, "the job was failed, not done"),
        ({"name": "analyse"}, {"job": "done", "job_again": "failed"}, "next run was failed"),
        (
            {"name": "analyse", "publishes": "N M"},
            {"job": "done", "job_again": "done", "published": 0.0},
            "N M was published 0 times, not once",
        ),
    ],
)
def test_a_job_is_held_to_its_end_and_to_what_it_publishes(
    job: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    assert said in "\n".join(problems(scenario(job=job), observed(outcome(), **changes)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {name: a, what: b}", "a: row: Value error, a scenario needs faults, kill or limit"),
        ("- {name: a, what: b, fault: []}", "a: fault: Extra inputs"),
        ("- {name: a, what: b, faults: [{service: s3, kind: boom}]}", "a: faults.0.kind"),
        (
            "- {name: a, what: b, kill: assistant}\n- {name: a, what: b, kill: assistant}",
            "two scenarios of the name a",
        ),
        ("- just text", "number 1"),
        ("[", "t.yaml"),
    ],
)
def test_a_bad_table_names_the_scenario_and_the_field(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        load(path)
    assert said in str(caught.value)
