"""Each fault of an account gives its line and its remedy; what cannot be asked is never ok. Asked of the local AWS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

import settings
from doctor import account, features, machine
from doctor.__main__ import examine, main
from doctor.finding import Finding, Patient
from local.cloud import Cloud


@pytest.fixture
def patient(cloud: Cloud) -> Callable[..., Patient]:
    """A patient of the local AWS, with the settings of a profile of these changes, and answers put in the services' place."""

    def make(answers: dict[str, Any] | None = None, *, probe: bool = False, **changes: Any) -> Patient:
        context = settings.read_context()
        context["fmops"]["examined"] = changes
        profile = settings.load({**context, "profile": "examined"})
        given = answers or {}
        return Patient(profile, cloud.region, lambda name: given.get(name) or cloud.client(name), probe)

    return make


class Answers:
    """A service with these answers by operation; an exception is raised."""

    def __init__(self, **answers: Any) -> None:
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answer = self._answers[name]

        def call(**_: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "Operation")


def one(findings: Iterator[Finding]) -> Finding:
    (found,) = findings
    return found


def test_another_account_stops(patient: Callable[..., Patient]) -> None:
    assert one(account.identity(patient())).level == "ok"
    found = one(account.identity(patient(account="999999999999")))
    assert (found.level, "account in cdk.json" in found.remedy) == ("stop", True)


def test_the_bootstrap_must_be_there_and_new_enough(cloud: Cloud, patient: Callable[..., Patient]) -> None:
    examined = patient(bootstrap_qualifier="qual")
    found = one(account.bootstrap(examined))
    assert (found.level, found.remedy) == ("stop", "make bootstrap")
    for version, level in (("5", "stop"), ("29", "ok")):
        cloud.client("ssm").put_parameter(
            Name="/cdk-bootstrap/qual/version", Value=version, Type="String", Overwrite=True
        )
        assert one(account.bootstrap(examined)).level == level


def test_a_full_quota_stops(patient: Callable[..., Patient]) -> None:
    quota = Answers(get_service_quota={"Quota": {"Value": 5.0}})
    full = Answers(describe_vpcs={"Vpcs": [{}] * 5}, describe_addresses={"Addresses": [{}] * 4})
    nat = {"egress": "nat"}
    for check in (account.vpcs, account.addresses):
        found = one(check(patient({"service-quotas": quota, "ec2": full}, network=nat)))
        assert found.level == "stop" and "Service Quotas" in found.remedy
    assert one(account.vpcs(patient({"service-quotas": quota}))).level == "ok"
    large = {"cpu": 4096, "memory_mib": 8192, "min_tasks": 1, "max_tasks": 10}
    assert one(account.fargate(patient({"service-quotas": quota}, assistant=large))).level == "stop"
    assert one(account.fargate(patient({"service-quotas": quota}))).level == "ok"


def test_a_model_that_is_not_there_stops(patient: Callable[..., Patient]) -> None:
    gone = Answers(
        get_inference_profile=error("ResourceNotFoundException"), get_foundation_model={"modelDetails": {}}
    )
    chat, embedding, judge = features.models(patient({"bedrock": gone}))
    assert (chat.level, embedding.level, judge.level) == ("stop", "ok", "stop")
    assert chat.what.startswith("assistant.model_id:")


def test_the_model_is_asked_on_request_only(patient: Callable[..., Patient]) -> None:
    assert one(features.access(patient())).level == "warning"
    refusing = Answers(converse=error("AccessDeniedException"))
    found = one(features.access(patient({"bedrock-runtime": refusing}, probe=True)))
    assert (found.level, found.remedy) == ("stop", features.ACCESS)
    assert one(features.access(patient({"bedrock-runtime": Answers(converse={})}, probe=True))).level == "ok"


def test_grafana_needs_identity_center(patient: Callable[..., Patient]) -> None:
    assert list(features.identity_center(patient())) == []
    for instances, level in (([], "stop"), ([{}], "ok")):
        center = Answers(list_instances={"Instances": instances})
        examined = patient({"sso-admin": center}, observability={"grafana": True})
        assert one(features.identity_center(examined)).level == level


@pytest.mark.parametrize(
    ("setting", "destination", "level", "remedy"),
    [
        ("enable", "XRay", "ok", ""),
        ("enable", "CloudWatchLogs", "stop", "to use"),
        ("use", "CloudWatchLogs", "ok", ""),
        ("use", "XRay", "stop", "turn it on"),
    ],
)
def test_transaction_search_is_as_its_setting_needs_it(
    cloud: Cloud, patient: Callable[..., Patient], setting: str, destination: str, level: str, remedy: str
) -> None:
    cloud.client("xray").update_trace_segment_destination(Destination=destination)
    found = one(features.transaction_search(patient(observability={"transaction_search": setting})))
    assert found.level == level
    assert remedy in found.remedy


def test_what_is_closed_to_new_customers_is_looked_at_when_it_is_on(patient: Callable[..., Patient]) -> None:
    assert [*features.ground_truth(patient()), *features.prompt_safety(patient())] == []
    none = Answers(list_labeling_jobs={"LabelingJobSummaryList": []})
    found = one(features.ground_truth(patient({"sagemaker": none}, review={"backend": "ground_truth"})))
    assert (found.level, "mlflow" in found.remedy) == ("warning", True)
    safety = {"detectors": {"safety": {"kind": "comprehend_prompt_safety"}}}
    closed = Answers(classify_document=error("AccessDeniedException"))
    found = one(features.prompt_safety(patient({"comprehend": closed}, assistant={"guardrails": safety})))
    assert (found.level, "bedrock_checks" in found.remedy) == ("stop", True)


def test_without_docker_codebuild_is_the_remedy(
    patient: Callable[..., Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    found = one(machine.docker(patient()))
    assert (found.level, found.remedy) == ("stop", "start it, or set images to codebuild")
    assert one(machine.docker(patient(images="codebuild"))).level == "ok"


def test_what_cannot_be_asked_is_a_warning_and_never_ok(patient: Callable[..., Patient]) -> None:
    found = one(
        features.transaction_search(
            patient(
                {"xray": Answers(get_trace_segment_destination=error("AccessDenied"))},
                observability={"transaction_search": "use"},
            )
        )
    )
    assert found.level == "warning"
    assert "could not be checked" in found.what


def test_the_whole_examination_of_the_local_aws(cloud: Cloud, patient: Callable[..., Patient]) -> None:
    cloud.client("ssm").put_parameter(
        Name="/cdk-bootstrap/hnb659fds/version", Value="29", Type="String", Overwrite=True
    )
    found = examine(patient())
    assert all(each.remedy for each in found if each.level != "ok")
    assert "CDK bootstrap of version 29" in [each.what for each in found]
    # Bedrock's catalog is not in the local AWS: it says so, and nobody takes it for an answer.
    assert any(each.what.startswith("the models could not be checked") for each in found)


def test_the_command_ends_with_what_it_found(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    session = cloud.session()
    monkeypatch.setattr("doctor.__main__.boto3.Session", lambda **_: session)
    monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.endpoint)
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    assert main(["--profile", "dev"]) == 1
    assert "would stop the deployment" in capsys.readouterr().out
    assert main(["--profile", "nothing"]) == 2
    assert "'nothing' is not in the context" in capsys.readouterr().err
    monkeypatch.setattr(session, "get_credentials", lambda: None)
    assert main([]) == 2
    assert "no AWS credentials" in capsys.readouterr().err
