"""Templates provide what the rest of the project relies on: environment, secrets, commands, ports, permissions,
outputs."""

import json
from pathlib import Path
from typing import Any

import pytest
from constructs import cedar

import app
from fmops.assistant.__main__ import READERS_SECONDS
from fmops.assistant.service import LAST_SECONDS
from fmops.assistant.stopping import ANSWERS_SECONDS, STOP_SECONDS
from fmops.conversation.turns import EmbeddedMetric, Turns
from tests.synthesized import Assembly, context

ENVIRONMENT = {
    "AWS_REGION",
    "FMOPS_PORT",
    "FMOPS_MAX_BODY_BYTES",
    "FMOPS_MAX_TURNS",
    "FMOPS_MAX_TURNS_PER_USER",
    "FMOPS_TURN_SECONDS",
    "FMOPS_KEY_MAX_AGE_SECONDS",
    "FMOPS_MODEL_ID",
    "FMOPS_MAX_OUTPUT_TOKENS",
    "FMOPS_EMBEDDING_MODEL_ID",
    "FMOPS_USER_POOL_ID",
    "FMOPS_PRINCIPAL_PREFIX",
    "FMOPS_OIDC_GROUP_CLAIM",
    "FMOPS_OIDC_ISSUER",
    "FMOPS_OIDC_AUDIENCE",
    "FMOPS_POLICY_STORE_ID",
    "FMOPS_DELIVERY_STREAM",
    "FMOPS_RECORDS_TABLE",
    "FMOPS_APPROVALS_TABLE",
    "FMOPS_BUDGETS",
    "FMOPS_BUDGETS_TABLE",
    "FMOPS_PSEUDONYM_KEY_SECRET",
    "FMOPS_AUTHORIZATION_MODE",
    "FMOPS_GUARDRAILS",
    "FMOPS_HOME",
    "FMOPS_INSTRUMENTOR",
    "FMOPS_SPOOL_DIRECTORY",
    "FMOPS_PLAYGROUND_MODELS",
    "FMOPS_PROMPT_REFRESH_SECONDS",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_METRIC_EXPORT_INTERVAL",
}

OUTPUTS = {
    "Identity": {"UserPoolId", "UserPoolClientId", "PolicyStoreId"},
    "Tracking": {"MlflowArn"},
    "Observability": {"PrometheusWorkspaceId", "PrometheusEndpoint"},
    "Knowledge": {
        "DocumentsBucketName",
        "KnowledgeBaseId",
        "DataSourceId",
        "IngestionFunctionName",
        "VectorIndexArn",
    },
    "Capture": {"LakeBucketName", "DeliveryStreamName", "GlueDatabaseName", "GlueTableName"},
    "Analysis": {"StateMachineArn"},
    "Review": {"StateMachineArn", "EvaluationJobStateMachineArn", "EvaluationStateMachineArn"},
    "Assistant": {"AssistantUrl", "RecordsTableName", "PseudonymKeyArn"},
}


def test_assistant_gets_its_environment_and_nothing_else(on_ecs: Assembly) -> None:
    assistant = _container(on_ecs, "assistant")
    options = {"FMOPS_RAW_DELIVERY_STREAM", "FMOPS_CONTENT_TRACES_ENDPOINT", "FMOPS_TRANSACTION_SEARCH"}
    on = {"FMOPS_KEEP_ALIVE_SECONDS"} | (options if on_ecs.profile == "everything" else set())
    documents = {"KNOWLEDGE_BASE_ID", "MINIMUM_SIMILARITY", "DOCUMENTS_BUCKET", "LAKE_BUCKET"}
    on |= {f"FMOPS_{name}" for name in documents} if "Knowledge" in on_ecs.templates else set()
    on |= (
        {"FMOPS_TURNS_NAMESPACE"} if on_ecs.resources("AWS::ApplicationAutoScaling::ScalingPolicy") else set()
    )
    assert {variable["Name"] for variable in assistant["Environment"]} == ENVIRONMENT | on
    assert "Secrets" not in assistant
    assert assistant["Command"] == ["python", "-m", "fmops.assistant"]


def test_collector_gets_every_variable_that_its_configuration_names(on_ecs: Assembly) -> None:
    from observability.collector.config import variables

    collector = _environment(_container(on_ecs, "collector"))
    assert variables(collector["AOT_CONFIG_CONTENT"]) <= collector.keys()
    assert collector["OTLP_HTTP_ENDPOINT"] == "0.0.0.0:4318"
    assert collector["HEALTH_CHECK_ENDPOINT"] == "0.0.0.0:13133"


def test_spans_go_to_transaction_search_where_it_is_on(assemblies: dict[str, Assembly]) -> None:
    actions = {
        name: {
            action
            for statement in _task_statements(assembly)
            for action in (
                [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            )
            if action.startswith("xray:")
        }
        for name, assembly in assemblies.items()
        if name in ("dev", "prod", "everything")
    }
    segments = {"xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:BatchGetTraces"}
    spans = {"xray:PutSpans", "xray:PutSpansForIndexing"}
    retrieval = {"xray:StartTraceRetrieval", "xray:ListRetrievedTraces", "xray:CancelTraceRetrieval"}
    assert actions == {
        "dev": segments,
        "prod": segments,
        "everything": spans | retrieval,
    }
    (policy,) = assemblies["everything"].resources("AWS::Logs::ResourcePolicy").values()
    document = json.loads(policy["Properties"]["PolicyDocument"])
    assert document["Statement"][0]["Condition"]["StringEquals"] == {"aws:SourceAccount": "111122223333"}


def test_tasks_can_neither_be_entered_nor_changed(on_ecs: Assembly) -> None:
    (service,) = on_ecs.resources("AWS::ECS::Service").values()
    assert service["Properties"]["EnableExecuteCommand"] is False
    assert service["Properties"]["DeploymentConfiguration"]["DeploymentCircuitBreaker"] == {
        "Enable": True,
        "Rollback": True,
    }
    assert all(container["ReadonlyRootFilesystem"] for container in _containers(on_ecs))


def test_telemetry_does_not_stop_the_assistant(on_ecs: Assembly) -> None:
    collector = _container(on_ecs, "collector")
    assert collector["Essential"] is False
    assert collector["RestartPolicy"] == {"Enabled": True}
    assert collector["HealthCheck"]["Command"] == ["CMD", "/healthcheck", "-port=13133"]


@pytest.mark.parametrize("egress", ["public", "endpoints"])
def test_the_collector_is_probed_where_it_answers(egress: str, tmp_path: Path) -> None:
    given = context("dev", network={"egress": egress}) | {"collector_health_port": "14144"}
    app.build({**given, "aws:cdk:bundling-stacks": []}, str(tmp_path)).synth()
    templates = {"Assistant": json.loads((tmp_path / "Assistant.template.json").read_text())}
    collector = _container(Assembly("dev", templates, []), "collector")
    assert {"Name": "HEALTH_CHECK_ENDPOINT", "Value": "0.0.0.0:14144"} in collector["Environment"]
    assert "14144" in collector["HealthCheck"]["Command"][-1]


def test_a_stop_ends_before_the_task_is_killed(on_ecs: Assembly) -> None:
    assert ANSWERS_SECONDS + READERS_SECONDS + LAST_SECONDS < STOP_SECONDS
    assert _container(on_ecs, "assistant")["StopTimeout"] > STOP_SECONDS


def test_a_turn_ends_before_the_load_balancer_gives_up(on_ecs: Assembly) -> None:
    (balancer,) = on_ecs.resources("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    attributes = {each["Key"]: each["Value"] for each in balancer["Properties"]["LoadBalancerAttributes"]}
    environment = {each["Name"]: each["Value"] for each in _container(on_ecs, "assistant")["Environment"]}
    assert float(environment["FMOPS_TURN_SECONDS"]) < int(attributes["idle_timeout.timeout_seconds"])


def test_autoscaling_follows_the_metric_that_tasks_print(on_ecs: Assembly) -> None:
    environment = {each["Name"]: each["Value"] for each in _container(on_ecs, "assistant")["Environment"]}
    policies = on_ecs.resources("AWS::ApplicationAutoScaling::ScalingPolicy").values()
    if "FMOPS_TURNS_NAMESPACE" not in environment:
        assert not policies
        return
    turns = Turns(int(environment["FMOPS_MAX_TURNS"]))
    printed = json.loads(
        EmbeddedMetric(environment["FMOPS_TURNS_NAMESPACE"], environment["OTEL_SERVICE_NAME"], turns).line()
    )
    (directive,) = printed["_aws"]["CloudWatchMetrics"]
    ((dimension,),) = directive["Dimensions"]
    targets = [
        each["Properties"]["TargetTrackingScalingPolicyConfiguration"]
        for each in policies
        if "CustomizedMetricSpecification" in each["Properties"]["TargetTrackingScalingPolicyConfiguration"]
    ]
    (target,) = targets
    assert target["CustomizedMetricSpecification"] == {
        "Dimensions": [{"Name": dimension, "Value": printed[dimension]}],
        "MetricName": directive["Metrics"][0]["Name"],
        "Namespace": directive["Namespace"],
        "Statistic": "Average",
    }
    assert 0 < target["TargetValue"] < int(environment["FMOPS_MAX_TURNS"])


@pytest.mark.parametrize("level", ["off", "enabled", "enhanced"])
def test_container_insights_are_as_asked(level: str, tmp_path: Path) -> None:
    given = context("dev", observability={"container_insights": level})
    app.build({**given, "aws:cdk:bundling-stacks": []}, str(tmp_path)).synth()
    resources = json.loads((tmp_path / "Assistant.template.json").read_text())["Resources"].values()
    (cluster,) = (each for each in resources if each["Type"] == "AWS::ECS::Cluster")
    (setting,) = cluster["Properties"]["ClusterSettings"]
    assert setting == {"Name": "containerInsights", "Value": "disabled" if level == "off" else level}
    assert ("containerinsights" in json.dumps(list(resources))) == (level != "off")


def test_image_and_task_have_one_architecture(assemblies: dict[str, Assembly]) -> None:
    architectures = {
        name: task["Properties"]["RuntimePlatform"]["CpuArchitecture"]
        for name, assembly in assemblies.items()
        for task in assembly.resources("AWS::ECS::TaskDefinition").values()
    }
    assert architectures == {"dev": "ARM64", "prod": "ARM64", "everything": "X86_64"}


def test_outputs(assembly: Assembly) -> None:
    outputs = {
        stack: {key for key in template.get("Outputs", {}) if not key.startswith("ExportsOutput")}
        for stack, template in assembly.templates.items()
    }
    expected = {**OUTPUTS, "Foundation": set()}
    if assembly.profile == "everything":
        expected["TransactionSearch"] = set()
        expected["GitHub"] = {"DeployRoleArn", "LookupRoleArn"}
        del expected["Knowledge"]
    on_lambda = assembly.profile in ("serverless", "enclosed")
    if assembly.profile != "enclosed":
        expected["Identity"] = OUTPUTS["Identity"] | {"SignInUrl"}
    expected["Assistant"] = OUTPUTS["Assistant"] | (
        {"FunctionName"} if on_lambda else {"ClusterName", "ServiceName"}
    )
    if assembly.profile in ("prod", "everything"):
        expected["Observability"] = OUTPUTS["Observability"] | {"GrafanaWorkspaceEndpoint"}
    if assembly.profile == "everything":
        expected["Assistant"] |= {"ContentTracesExperimentId"}
    assert outputs == expected


def test_model_is_reached_through_its_inference_profile_only(assemblies: dict[str, Assembly]) -> None:
    statements = _task_statements(assemblies["everything"])
    arns = {
        resource: statement.get("Condition")
        for statement in statements
        if "bedrock:InvokeModel" in statement["Action"]
        for resource in (
            statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        )
    }
    profile = "arn:aws:bedrock:eu-west-1:111122223333:inference-profile/global.anthropic.claude-haiku-4-5-20251001-v1:0"
    assert arns == {
        profile: None,
        "arn:aws:bedrock:*::foundation-model/anthropic.claude-haiku-4-5-20251001-v1:0": {
            "StringEquals": {"bedrock:InferenceProfileArn": profile}
        },
        "arn:aws:bedrock:eu-west-1::foundation-model/amazon.titan-embed-text-v2:0": None,
    }


def test_users_cannot_write_the_attributes_that_policies_rely_on(assembly: Assembly) -> None:
    clients = assembly.resources("AWS::Cognito::UserPoolClient")
    (client,) = [client for name, client in clients.items() if name.startswith("Identity/")]
    relied_on = {f"custom:{name}" for name in cedar.custom_attributes(Path("policies"))}
    assert relied_on
    assert relied_on <= set(client["Properties"]["ReadAttributes"])
    for each in clients.values():
        assert not relied_on & set(each["Properties"]["WriteAttributes"])


def test_password_sign_in_by_administrators_is_for_trying_only(assemblies: dict[str, Assembly]) -> None:
    flows = {
        name: any(
            "ALLOW_ADMIN_USER_PASSWORD_AUTH" in client["Properties"].get("ExplicitAuthFlows", ())
            for client in assembly.resources("AWS::Cognito::UserPoolClient").values()
        )
        for name, assembly in assemblies.items()
    }
    assert flows == {"dev": True, "prod": False, "serverless": True, "everything": False, "enclosed": False}


def test_groups_of_policies_are_those_of_the_user_pool(assembly: Assembly) -> None:
    policies = assembly.resources("AWS::VerifiedPermissions::Policy")
    statements = json.dumps(
        [policy["Properties"]["Definition"]["Static"]["Statement"] for policy in policies.values()]
    )
    named = [group for group in cedar.groups(Path("policies")) if f'|{group}\\"' in statements]
    assert named
    assert not any(f'Group::\\"{group}' in statements for group in named)


def test_boundary_qualifier_and_region_reach_the_templates(assemblies: dict[str, Assembly]) -> None:
    everything = assemblies["everything"]
    boundaries = {
        json.dumps(role["Properties"].get("PermissionsBoundary"))
        for role in everything.resources("AWS::IAM::Role").values()
    }
    assert len(boundaries) == 1
    assert "policy/developer-boundary" in boundaries.pop()
    assert "cdk-team-container-assets-111122223333-eu-west-1" in json.dumps(everything.templates["Assistant"])


def test_open_load_balancer_speaks_tls(assemblies: dict[str, Assembly]) -> None:
    listeners = assemblies["everything"].resources("AWS::ElasticLoadBalancingV2::Listener").values()
    assert {
        listener["Properties"]["Protocol"]: listener["Properties"]["DefaultActions"][0]["Type"]
        for listener in listeners
    } == {
        "HTTP": "redirect",
        "HTTPS": "forward",
    }
    for name in ("dev", "prod"):
        (balancer,) = assemblies[name].resources("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
        assert balancer["Properties"]["Scheme"] == "internal"


def test_dev_pays_for_no_nat_gateway(assemblies: dict[str, Assembly]) -> None:
    gateways = {
        name: len(assembly.resources("AWS::EC2::NatGateway")) for name, assembly in assemblies.items()
    }
    assert gateways == {"dev": 0, "prod": 2, "serverless": 0, "everything": 3, "enclosed": 0}


def _containers(assembly: Assembly) -> list[dict[str, Any]]:
    (task,) = assembly.resources("AWS::ECS::TaskDefinition").values()
    return list(task["Properties"]["ContainerDefinitions"])


def _container(assembly: Assembly, name: str) -> dict[str, Any]:
    return next(container for container in _containers(assembly) if container["Name"] == name)


def _environment(container: dict[str, Any]) -> dict[str, Any]:
    return {variable["Name"]: variable["Value"] for variable in container["Environment"]}


def _task_statements(assembly: Assembly) -> list[dict[str, Any]]:
    policies = assembly.resources("AWS::IAM::Policy")
    (policy,) = [value for name, value in policies.items() if "AppTaskRole" in name]
    return list(policy["Properties"]["PolicyDocument"]["Statement"])


def test_idle_connections_live_longer_in_the_assistant_than_in_the_load_balancer(on_ecs: Assembly) -> None:
    (balancer,) = on_ecs.resources("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    attributes = {each["Key"]: each["Value"] for each in balancer["Properties"]["LoadBalancerAttributes"]}
    keep_alive = _environment(_container(on_ecs, "assistant"))["FMOPS_KEEP_ALIVE_SECONDS"]
    assert int(keep_alive) > int(attributes["idle_timeout.timeout_seconds"])
