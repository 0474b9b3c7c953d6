"""Inference profiles and the regions that may call them."""

from __future__ import annotations

import pytest

from settings import Settings, SettingsError, load, read_context
from settings.geographies import check, mismatch

HAIKU = "anthropic.claude-haiku-4-5-20251001-v1:0"


@pytest.mark.parametrize(
    ("model_id", "region"),
    [
        (f"us.{HAIKU}", "us-east-1"),
        (f"us.{HAIKU}", "ca-central-1"),
        (f"eu.{HAIKU}", "eu-central-1"),
        (f"apac.{HAIKU}", "ap-south-1"),
        (f"jp.{HAIKU}", "ap-northeast-3"),
        (f"au.{HAIKU}", "ap-southeast-2"),
        (f"us-gov.{HAIKU}", "us-gov-west-1"),
        (f"global.{HAIKU}", "sa-east-1"),
        (HAIKU, "eu-west-1"),
        ("amazon.titan-embed-text-v2:0", "eu-west-1"),
        ("us", "eu-west-1"),
    ],
)
def test_a_profile_may_be_called_from_its_own_geography(model_id: str, region: str) -> None:
    assert mismatch(model_id, region) == ""


@pytest.mark.parametrize(
    ("model_id", "region", "suggested"),
    [
        (f"us.{HAIKU}", "eu-west-1", f"eu.{HAIKU}"),
        (f"us.{HAIKU}", "us-gov-west-1", f"us-gov.{HAIKU}"),
        (f"us-gov.{HAIKU}", "us-east-1", f"us.{HAIKU}"),
        (f"eu.{HAIKU}", "us-east-2", f"us.{HAIKU}"),
        (f"jp.{HAIKU}", "ap-northeast-2", f"apac.{HAIKU}"),
        (f"apac.{HAIKU}", "me-central-1", f"global.{HAIKU}"),
    ],
)
def test_a_profile_of_another_geography_is_refused_with_the_one_to_use(
    model_id: str, region: str, suggested: str
) -> None:
    problem = mismatch(model_id, region)
    assert model_id in problem and region in problem and suggested in problem


def settings(**changes: object) -> Settings:
    context = read_context()
    profile = {**context["fmops"]["dev"], **changes}
    return load({**context, "fmops": {"dev": profile}})


def test_every_model_of_a_profile_is_checked_by_the_name_of_its_setting() -> None:
    with pytest.raises(SettingsError, match=r"assistant\.model_id: eu-west-1 cannot call us\."):
        check(settings(region="eu-west-1"), None)
    check(settings(region="us-west-2"), "eu-west-1")
    with pytest.raises(SettingsError, match="eu-north-1"):
        check(settings(), "eu-north-1")
    check(settings(), None)


def test_synth_ends_with_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from stacks import synthesis

    monkeypatch.setenv("CDK_DEFAULT_REGION", "eu-west-1")
    with pytest.raises(SystemExit, match="cannot call"):
        synthesis.synthesize(lambda _: pytest.fail("nothing may be built"), ())
