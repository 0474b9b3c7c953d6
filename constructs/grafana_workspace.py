"""The Amazon Managed Grafana workspace."""

from aws_cdk import Stack
from aws_cdk import aws_grafana as grafana
from aws_cdk import aws_iam as iam
from constructs import Construct
from constructs.acknowledge import acknowledge


class GrafanaWorkspace(Construct):
    """A workspace with a role that reads metrics and traces, whose users sign in through IAM Identity Center.

    The account or its organization needs IAM Identity Center. Users are assigned after the deployment, since
    CloudFormation cannot do it.

    Args:
        name: Name shown in the console.
        prometheus_arn: ARN of the Prometheus workspace that the dashboards read.
        version: Version of Grafana, as ListVersions names it. A workspace can be upgraded, never downgraded.
    """

    # The newest before dashboards are migrated to another schema when they are opened, which 13 does.
    VERSION = "12.4"

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        prometheus_arn: str,
        version: str = VERSION,
    ) -> None:
        super().__init__(scope, id)
        self.role = self._build_role(prometheus_arn)
        self.workspace = self._build_workspace(name, version)

    @property
    def endpoint(self) -> str:
        """Host name of the workspace."""
        return self.workspace.attr_endpoint

    def _build_role(self, prometheus_arn: str) -> iam.Role:
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal(
                "grafana.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": Stack.of(self).account}},
            ),
        )
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["aps:QueryMetrics", "aps:GetSeries", "aps:GetLabels", "aps:GetMetricMetadata"],
                resources=[prometheus_arn],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                # X-Ray has no resources to which reading traces could be limited.
                actions=[
                    "xray:GetTraceSummaries",
                    "xray:BatchGetTraces",
                    "xray:GetServiceGraph",
                    "xray:GetTraceGraph",
                ],
                resources=["*"],
            )
        )
        role.add_to_policy(
            iam.PolicyStatement(
                # The actions of the managed policy AmazonGrafanaCloudWatchAccess except for logs, which
                # no dashboard reads.
                actions=[
                    "cloudwatch:DescribeAlarmHistory",
                    "cloudwatch:DescribeAlarms",
                    "cloudwatch:DescribeAlarmsForMetric",
                    "cloudwatch:GetInsightRuleReport",
                    "cloudwatch:GetMetricData",
                    "cloudwatch:GetMetricStatistics",
                    "cloudwatch:ListMetrics",
                    "ec2:DescribeInstances",
                    "ec2:DescribeRegions",
                    "ec2:DescribeTags",
                    "oam:ListAttachedLinks",
                    "oam:ListSinks",
                    "tag:GetResources",
                ],
                resources=["*"],
            )
        )
        acknowledge(
            role.node.find_child("DefaultPolicy"),
            "Reading traces, metrics and what they are about has no resources in IAM (service authorization"
            " reference).",
            "AwsSolutions-IAM5[Resource::*]",
        )
        return role

    def _build_workspace(self, name: str, version: str) -> grafana.CfnWorkspace:
        return grafana.CfnWorkspace(
            self,
            "Workspace",
            name=name,
            account_access_type="CURRENT_ACCOUNT",
            authentication_providers=["AWS_SSO"],
            permission_type="CUSTOMER_MANAGED",
            role_arn=self.role.role_arn,
            # Without it, a new environment gets the newest version of its day.
            grafana_version=version,
            # The data source for Managed Prometheus is a plugin.
            plugin_admin_enabled=True,
        )
