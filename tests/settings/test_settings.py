"""Settings: those that are accepted, and the sentence with which others are refused."""

from pathlib import Path
from typing import Any

import pytest

import settings
from tests.synthesized import context


def test_dev_is_the_default_profile() -> None:
    values = context("dev")
    del values["profile"]
    assert settings.load(values).environment_name == "fmops-dev"


def test_profiles_differ_in_what_is_kept_and_paid_for() -> None:
    dev, prod = (settings.load(context(name)) for name in ("dev", "prod"))
    assert (dev.data_lifetime, prod.data_lifetime) == ("temporary", "retained")
    assert (dev.network.egress, prod.network.egress) == ("public", "nat")
    assert (dev.identity.mfa, prod.identity.mfa) == ("optional", "required")
    assert (dev.observability.grafana, prod.observability.grafana) == (False, True)


def test_ports_can_be_given_on_the_command_line() -> None:
    values = {**context("dev"), "port": "8090", "collector_port": 5318}
    assistant = settings.load(values).assistant
    assert (assistant.port, assistant.collector_port, assistant.collector_health_port) == (8090, 5318, 13133)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prefx": "a"}, "fmops.dev.prefx is not a setting: use prefix instead."),
        ({"assistant": {"prot": 1}}, "fmops.dev.assistant.prot is not a setting: use port instead."),
        (
            {"network": {"qqqq": 1}},
            "fmops.dev.network.qqqq is not a setting: use egress, mode, vpc or zones.",
        ),
        (
            {"data_lifetime": "forever"},
            "fmops.dev.data_lifetime is \"forever\", but it should be 'temporary' or 'retained'.",
        ),
        (
            {"assistant": {"port": "http"}},
            'fmops.dev.assistant.port is "http", but it should be a valid integer.',
        ),
        (
            {"assistant": {"port": 80}},
            "fmops.dev.assistant.port is 80, but it should be greater than or equal to 1024.",
        ),
        (
            {"analysis": {"spark_from_gib": 5}},
            "fmops.dev.analysis: spark_from_gib decides nothing with engine 'embedded': set engine to"
            " 'auto', or leave spark_from_gib out.",
        ),
        (
            {"analysis": {"spark_max_vcpus": 16}},
            "fmops.dev.analysis: spark_max_vcpus has no use with engine 'embedded': set engine to 'auto' or"
            " 'spark', or leave it out.",
        ),
        (
            {"knowledge": {"documents": "packaged", "chunk_tokens": 200}},
            "fmops.dev.knowledge: chunk_tokens has no use with documents 'packaged': set documents to"
            " 'knowledge_base', or leave it out.",
        ),
        (
            {"assistant": {"embedding_model_id": "amazon.titan-embed-text-v1:2"}},
            "fmops.dev: assistant.embedding_model_id is amazon.titan-embed-text-v1:2, which makes 1,536 numbers, but"
            " the index of the knowledge base takes 1,024: set amazon.titan-embed-text-v2:0, or knowledge.documents to"
            " packaged.",
        ),
        (
            {"knowledge": {"minimum_similarity": 1.5}},
            "fmops.dev.knowledge.minimum_similarity is 1.5, but it should be less than or equal to 1.",
        ),
        (
            {"knowledge": {"batch_window_seconds": 301}},
            "fmops.dev.knowledge.batch_window_seconds is 301, but it should be less than or equal to 300.",
        ),
        (
            {"knowledge": {"nightly": "24:00"}},
            "fmops.dev.knowledge.nightly is \"24:00\", but it should match pattern '^([01]\\d|2[0-3]):[0-5]\\d$'.",
        ),
        (
            {"assistant": {"cpu": 256, "memory_mib": 4096}},
            "fmops.dev.assistant: memory_mib is 4096, but with cpu 256 Fargate allows 512, 1024, 2048.",
        ),
        (
            {"tracking": {"server_size": "Large"}},
            "fmops.dev.tracking: server_size has no use with kind 'app': set kind to 'server', or leave it out.",
        ),
        (
            {"tracking": {"kind": "server"}, "observability": {"mlflow_traces": True}},
            "fmops.dev: observability.mlflow_traces is true, but the collector sends traces to an MLflow"
            " App only: set tracking.kind to app, or mlflow_traces to false.",
        ),
        (
            {"review": {"judges": ["amazon.nova-pro-v1:0"]}},
            "fmops.dev.review: judged is 100, but judges has 1 of the two models that can differ: name"
            " another, or set judged to 0.",
        ),
        (
            {"review": {"judges": ["amazon.nova-pro-v1:0"] * 2}},
            "fmops.dev.review: judges names a model twice, which cannot disagree with itself: name another.",
        ),
        (
            {"assistant": {"min_tasks": 3}},
            "fmops.dev.assistant: max_tasks is 1, but must be at least min_tasks (3).",
        ),
        (
            {"assistant": {"port": 4318}},
            "fmops.dev.assistant: port, collector_port, collector_health_port and collector_content_port"
            " must differ, since the containers share one network.",
        ),
        (
            {"assistant": {"ingress_cidrs": ["0.0.0.0/0"]}},
            "fmops.dev.assistant: ingress_cidrs has 0.0.0.0/0, which is not within a private range, so"
            " certificate_arn or domain must be set: tokens would cross the internet unencrypted.",
        ),
        *(
            (
                {"assistant": {"ingress_cidrs": [*allowed, public]}},
                f"fmops.dev.assistant: ingress_cidrs has {public}, which is not within a private range, so"
                " certificate_arn or domain must be set: tokens would cross the internet unencrypted.",
            )
            for allowed, public in (
                ([], "0.0.0.0/1"),
                (["10.0.0.0/8"], "128.0.0.0/1"),
                (["192.168.7.0/24", "100.64.0.0/10"], "203.0.113.7/32"),
                ([], "172.0.0.0/8"),
                ([], "8.0.0.0/5"),
            )
        ),
        (
            {"assistant": {"ingress_cidrs": ["home"]}},
            "fmops.dev.assistant: ingress_cidrs has 'home', but allowed are IPv4 ranges such as 203.0.113.7/32 "
            "(Expected 4 octets in 'home').",
        ),
        (
            {"assistant": {"budgets": {"teams": {"desk": {"usd_per_months": 1}}}}},
            "fmops.dev.assistant.budgets.teams.desk.usd_per_months is not a setting: use usd_per_month instead.",
        ),
        (
            {"assistant": {"budgets": {"deployment": {"usd_per_month": 0}}}},
            "fmops.dev.assistant.budgets.deployment.usd_per_month is 0, but it should be greater than 0.",
        ),
        (
            {"identity": {"mfa": True}},
            "fmops.dev.identity.mfa is true, but it should be 'optional' or 'required'.",
        ),
        (
            {"network": {"mode": "none"}},
            "fmops.dev: network.mode is none, but assistant.compute ecs runs in a VPC: set one of them to"
            " new or lambda.",
        ),
        (
            {"assistant": {"compute": "lambda", "ingress_cidrs": ["203.0.113.7/32"]}},
            "fmops.dev: network.egress is public, but a function in a VPC gets no public address: "
            "set network.mode to none, or network.egress to nat or endpoints.",
        ),
        (
            {"assistant": {"compute": "lambda"}},
            "fmops.dev.assistant: ingress_cidrs is empty, but with compute lambda the API is on the"
            " internet: name who may reach it, such as 203.0.113.7/32, or 0.0.0.0/0 for everyone, who then"
            " still needs a token.",
        ),
        (
            {"assistant": {"compute": "lambda", "memory_mib": 256}},
            "fmops.dev.assistant: memory_mib is 256, but with compute lambda it is 512 to 10240.",
        ),
        (
            {"assistant": {"compute": "lambda", "max_tasks": 4}},
            "fmops.dev.assistant: min_tasks and max_tasks apply to compute ecs, but compute is lambda: set "
            "concurrency instead.",
        ),
        (
            {"assistant": {"concurrency": 4}},
            "fmops.dev.assistant: concurrency applies to compute lambda, but compute is ecs: set min_tasks and "
            "max_tasks instead.",
        ),
        (
            {"identity": {"sign_in": {"origin": []}}},
            "fmops.dev.identity.sign_in.origin is not a setting: use origins instead.",
        ),
        (
            {
                "identity": {
                    "oidc": {"isuer": "https://a.example", "issuer": "https://a.example", "audience": "b"}
                }
            },
            "fmops.dev.identity.oidc.isuer is not a setting: use issuer instead.",
        ),
        (
            {"identity": {"sign_in": {"enabled": False, "origins": ["https://desk.example.com"]}}},
            "fmops.dev.identity.sign_in: enabled is false, but domain_prefix or origins is set: leave them out,"
            " or enabled.",
        ),
        *(
            (
                {"identity": {"sign_in": {"domain_prefix": f"my{word}desk"}}},
                f"fmops.dev.identity.sign_in: domain_prefix is my{word}desk, but Cognito refuses a prefix with"
                f" {word} in it: choose another.",
            )
            for word in ("aws", "amazon", "cognito")
        ),
        (
            {"identity": {"sign_in": {"enabled": True}}, "network": {"egress": "endpoints"}},
            "fmops.dev: network.egress is endpoints, but identity.sign_in gives the user pool a domain, and a pool"
            " with a domain is not reached through an endpoint: use nat, or leave identity.sign_in out.",
        ),
        (
            {
                "identity": {
                    "sign_in": {"domain_prefix": "desk"},
                    "oidc": {"issuer": "https://login.example.com", "audience": "desk"},
                }
            },
            "fmops.dev.identity: sign_in.domain_prefix and sign_in.origins apply to a user pool, but with oidc"
            " there is none: leave them out, and register the pages' addresses at the issuer (docs/sign-in.md).",
        ),
        (
            {"network": []},
            "fmops.dev.network is [], but it should be an object.",
        ),
    ],
)
def test_bad_value_is_refused_with_field_value_and_what_is_allowed(
    changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(settings.SettingsError) as error:
        settings.load(context("dev", **changes))
    assert str(error.value) == sentence


@pytest.mark.parametrize(
    ("origin", "words"),
    [
        ("http://desk.example.com", "on localhost only"),
        ("http://10.0.0.7:8080", "on localhost only"),
        ("http://127.0.0.2", "on localhost only"),
        ("http://localhost.example.com", "on localhost only"),
        ("http://[::2]", "on localhost only"),
        ("ftp://desk.example.com", "an address such as"),
        ("desk.example.com", "an address such as"),
        ("localhost:8080", "an address such as"),
        ("https://", "an address such as"),
        ("https:///x", "an address such as"),
        ("", "an address such as"),
        ("https://däsk.example.com", "an address such as"),
        ("https://desk.example.com/\n", "an address such as"),
        ("https://[::1", "no address"),
        ("https://desk.example.com:port", "no address"),
        ("https://desk.example.com:99999", "no address"),
        ("https://me@desk.example.com", "without user"),
        ("https://*.example.com", "wildcards"),
        ("https://desk.example.com/?a=1", "query"),
        ("https://desk.example.com/#a", "fragment"),
        ("https://desk.example.com/a b", "without user"),
        ("https://desk.example.com/a/../b", "without user"),
        ("https://desk.example.com//live", "without user"),
        ("https://desk.example.com/live//x", "without user"),
        ("http://localhost:0", "without user"),
        ("https://desk.example.com:", "browsers write it"),
        ("https://desk.example.com/live/signed-in", "without /signed-in"),
        ("https://desk.example.com/signed-in/", "without /signed-in"),
        ("https://Desk.example.com", "browsers write it https://desk.example.com"),
        ("HTTPS://desk.example.com", "browsers write it https://desk.example.com"),
        ("https://desk.example.com:443/live", "browsers write it https://desk.example.com/live"),
        ("http://localhost:80", "browsers write it http://localhost,"),
    ],
)
def test_an_address_to_which_no_sign_in_could_return_is_refused(origin: str, words: str) -> None:
    with pytest.raises(settings.SettingsError) as error:
        settings.load(context("dev", identity={"sign_in": {"origins": [origin]}}))
    assert words in str(error.value)
    assert "identity.sign_in" in str(error.value)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://desk.example.com", "https://desk.example.com"),
        ("https://desk.example.com/", "https://desk.example.com"),
        ("https://a1b2.execute-api.eu-west-1.amazonaws.com/live", None),
        ("https://a1b2.execute-api.eu-west-1.amazonaws.com/live/", None),
        ("http://localhost:9080", "http://localhost:9080"),
        ("http://127.0.0.1:9080", "http://127.0.0.1:9080"),
        ("http://[::1]:9080", "http://[::1]:9080"),
    ],
)
def test_addresses_to_which_a_sign_in_returns(given: str, taken: str | None) -> None:
    loaded = settings.load(context("dev", identity={"sign_in": {"origins": [given, given]}}))
    assert loaded.sign_in_origins == (taken or given.rstrip("/"),)


def test_sign_in_returns_to_the_domain_or_else_to_this_machine() -> None:
    assert settings.load(context("dev")).sign_in_origins == ("http://localhost:8080",)
    named = {"name": "desk.example.com", "hosted_zone_id": "Z0123", "hosted_zone_name": "example.com"}
    loaded = settings.load(context("dev", assistant={"domain": named}))
    assert loaded.sign_in_origins == ("https://desk.example.com",)


def test_where_nobody_can_sign_in_it_is_off_with_a_reason() -> None:
    enclosed = settings.load(context("own", network={"egress": "endpoints"}))
    assert "set network.egress to nat" in (enclosed.no_sign_in or "")
    off = settings.load(context("own", identity={"sign_in": {"enabled": False}}))
    assert "identity.sign_in.enabled" in (off.no_sign_in or "")
    own = {"issuer": "https://login.example.com", "audience": "desk"}
    for profile in (
        context("dev"),
        context("prod"),
        context("serverless"),
        context("own", identity={"oidc": own}),
    ):
        assert settings.load(profile).no_sign_in is None


def test_several_bad_values_are_all_named() -> None:
    with pytest.raises(settings.SettingsError, match=r"^fmops\.dev\.account .*\. fmops\.dev\.region .*\.$"):
        settings.load(context("dev", account="1", region="Frankfurt"))


def test_profiles_may_be_in_a_file_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text('{"mine": {"prefix": "other"}}')
    values = {**context("dev"), "profile": "mine", "profiles": str(file)}
    assert settings.load(values).environment_name == "other-mine"
    with pytest.raises(settings.SettingsError, match=r"nowhere\.json that profiles names cannot be read"):
        settings.load({**values, "profiles": str(tmp_path / "nowhere.json")})


def test_a_rehearsal_changes_how_users_sign_in_and_nothing_else() -> None:
    prod, rehearsed = (settings.load({**context("prod"), **more}) for more in ({}, {"sign_in": "password"}))
    assert rehearsed.identity.admin_password_sign_in
    assert rehearsed.model_copy(update={"identity": prod.identity}) == prod


def test_unknown_profile() -> None:
    with pytest.raises(
        settings.SettingsError, match=r"The profile 'staging' is not .*: use dev, prod or serverless"
    ):
        settings.load({**context("dev"), "profile": "staging"})


def test_no_profiles() -> None:
    with pytest.raises(settings.SettingsError, match=r"cdk\.json has no profiles"):
        settings.load({"fmops": []})


@pytest.mark.parametrize("arguments", [["-c", "profile"], ["--profile", "dev"], ["-c"]])
def test_bad_arguments(arguments: list[str]) -> None:
    with pytest.raises(settings.SettingsError, match="is not understood: give context as -c key=value"):
        settings.read_context(arguments)


def test_context_of_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CDK_CONTEXT_JSON", '{"profile": "dev", "port": "1"}')
    values = settings.read_context(["-c", "profile=prod"])
    assert (values["profile"], values["port"]) == ("prod", "1")


def test_a_profile_is_laid_over_the_one_that_it_extends() -> None:
    profiles = {
        "base": {"prefix": "acme", "review": {"budget": 15, "judged": 0}, "extends": "root"},
        "root": {"log_retention_days": 7},
        "over": {"extends": "base", "review": {"budget": 16}},
    }
    loaded = settings.load({"fmops": profiles, "profile": "over"})
    assert (loaded.profile, loaded.prefix, loaded.log_retention_days) == ("over", "acme", 7)
    assert (loaded.review.budget, loaded.review.judged) == (16, 0)


@pytest.mark.parametrize(
    ("profiles", "sentence"),
    [
        ({"a": {"extends": "c"}, "b": {}}, 'fmops.a.extends is "c", which is not a profile: use b.'),
        ({"a": {"extends": "a"}, "b": {}}, 'fmops.a.extends is "a", which extends this one: use b.'),
        (
            {"a": {"extends": "b"}, "b": {"extends": "a"}, "c": {}},
            'fmops.b.extends is "a", which extends this one: use c.',
        ),
        ({"a": {"extends": ["b"]}, "b": {}}, 'fmops.a.extends is ["b"], which is not a profile: use b.'),
        ({"a": {"extends": 1}, "b": {}}, "fmops.a.extends is 1, which is not a profile: use b."),
    ],
)
def test_what_a_profile_cannot_extend_is_named(profiles: dict[str, dict[str, object]], sentence: str) -> None:
    with pytest.raises(settings.SettingsError) as refused:
        settings.load({"fmops": profiles, "profile": "a"})
    assert str(refused.value) == sentence
