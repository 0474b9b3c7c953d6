"""Data sources and dashboards of an Amazon Managed Grafana workspace, which CloudFormation cannot create."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import BundlingOptions, CustomResource, DockerImage, Duration, ILocalBundling, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct
from constructs.data_lifetime import DataLifetime
from constructs.grafana_workspace import GrafanaWorkspace

PROVISIONER = Path(__file__).parents[1] / "lambdas" / "grafana_provisioner"


@dataclass(frozen=True)
class DataSource:
    """A data source that dashboards refer to by its uid. One with a `url` is a Prometheus whose
    requests are signed."""

    uid: str
    type: str
    url: str = ""

    def properties(self) -> dict[str, str]:
        """Return the data source as a property of the custom resource."""
        return {"Uid": self.uid, "Type": self.type} | ({"Url": self.url} if self.url else {})


class GrafanaDashboards(Construct):
    """A custom resource that installs plugins, data sources and dashboards on create and update, and removes
    them on delete.

    For each run its function creates a service account with a token that is valid for ten minutes,
    and deletes both.

    Args:
        workspace: Workspace to install into, with `plugin_admin_enabled`.
        code: Folder of the function, with `handler.handler`. The function of this package by default.
        dashboards: Grafana's JSON models by uid.
        data_sources: Data sources that the dashboards refer to.
        plugins: Ids of plugins to install before the data sources. None by default.
        lifetime: Whether the log group outlives the stack.
        log_retention: How long the log group keeps events.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        workspace: GrafanaWorkspace,
        code: Path = PROVISIONER,
        dashboards: Mapping[str, Mapping[str, Any]],
        data_sources: Sequence[DataSource],
        plugins: Sequence[str] = (),
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        models = {uid: json.dumps(model, sort_keys=True) for uid, model in sorted(dashboards.items())}
        role = self._build_role(workspace)
        function = self._build_function(code, models, role, lifetime, log_retention)
        resource = CustomResource(
            self,
            "Resource",
            resource_type="Custom::GrafanaDashboards",
            service_token=function.function_arn,
            properties={
                "WorkspaceId": workspace.workspace.attr_id,
                "Url": f"https://{workspace.endpoint}",
                "Region": Stack.of(self).region,
                "Plugins": list(plugins),
                "DataSources": [source.properties() for source in data_sources],
                "DashboardUids": list(models),
                # Makes changed content an update even if nothing else of the resource changes.
                "Content": _digest(models),
            },
        )
        resource.node.add_dependency(role)

    def _build_role(self, workspace: GrafanaWorkspace) -> iam.Role:
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        arn = Stack.of(self).format_arn(
            service="grafana", resource="/workspaces", resource_name=workspace.workspace.attr_id
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=[
                    "grafana:CreateWorkspaceServiceAccount",
                    "grafana:CreateWorkspaceServiceAccountToken",
                    "grafana:DeleteWorkspaceServiceAccount",
                ],
                resources=[arn],
            )
        )
        return role

    def _build_function(
        self,
        code: Path,
        models: Mapping[str, str],
        role: iam.Role,
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> lambda_.Function:
        log_group = logs.LogGroup(
            self, "Logs", retention=log_retention, removal_policy=lifetime.removal_policy
        )
        log_group.grant_write(role)
        sources = {path.name: path.read_text() for path in sorted(code.glob("*.py"))}
        bundling = BundlingOptions(
            image=DockerImage.from_registry("never-used"), local=_WithDashboards(code, models)
        )
        return lambda_.Function(
            self,
            "Function",
            description="Keeps the Grafana workspace's data sources and dashboards as the stack has them",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler="handler.handler",
            code=lambda_.Code.from_asset(
                str(code), bundling=bundling, asset_hash=_digest({**sources, **models})
            ),
            timeout=Duration.minutes(5),
            memory_size=256,
            role=role,
            log_group=log_group,
        )


@jsii.implements(ILocalBundling)
class _WithDashboards:
    """The function's code with the dashboards beside it, which are larger than a custom resource's
    properties may be."""

    def __init__(self, code: Path, models: Mapping[str, str]) -> None:
        self._code = code
        self._models = models

    def try_bundle(self, output_dir: str, *_: Any, **__: Any) -> bool:
        """Write the asset. Needs no Docker."""
        for path in self._code.glob("*.py"):
            shutil.copy(path, output_dir)
        folder = Path(output_dir) / "dashboards"
        folder.mkdir(exist_ok=True)
        for uid, model in self._models.items():
            (folder / f"{uid}.json").write_text(model)
        return True


def _digest(texts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(texts), sort_keys=True).encode()).hexdigest()
