"""The Amazon Managed Service for Prometheus workspace, its rules and its alerts."""

import json
from collections.abc import Mapping

from aws_cdk import Stack
from aws_cdk import aws_aps as aps
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct
from constructs.data_lifetime import DataLifetime


class PrometheusWorkspace(Construct):
    """A workspace, its log group, its recording and alerting rules, and an alert manager that sends to
    an SNS topic.

    Alerts carry the label `severity`: until it is resolved, a `page` is repeated every hour and a
    `ticket` every day.

    Args:
        alias: Name shown in the console, which also ends the log group's name after the service's prefix
            `/aws/vendedlogs/`.
        rules: Contents of rule files in Prometheus's format, by the last part of their namespace; the first
            part is the alias. None by default.
        alert_email: Address that is subscribed to the topic and whose owner has to confirm it. None by default.
        metric_retention_days: Days that metrics are kept, 1 to 1095.
        lifetime: Whether the workspace outlives the stack.
        log_retention: How long the log group keeps events.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        alias: str,
        rules: Mapping[str, str] | None = None,
        alert_email: str | None = None,
        metric_retention_days: int,
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        self.alert_topic = self._build_alert_topic(alert_email)
        log_group = self._build_log_group(alias, log_retention)
        self.workspace = self._build_workspace(alias, metric_retention_days, log_group, lifetime)
        self._build_rules(alias, rules or {})
        self._allow_alerts()

    @property
    def workspace_id(self) -> str:
        """Id of the workspace."""
        return self.workspace.attr_workspace_id

    @property
    def arn(self) -> str:
        """ARN of the workspace."""
        return self.workspace.attr_arn

    @property
    def endpoint(self) -> str:
        """Base URL of the workspace, with a slash at its end."""
        return self.workspace.attr_prometheus_endpoint

    @property
    def remote_write_endpoint(self) -> str:
        """URL to which metrics are written."""
        return f"{self.endpoint}api/v1/remote_write"

    def grant_read_alerts(self, role: iam.IRole) -> None:
        """Allow a role to list the alerts that are pending or firing."""
        role.add_to_principal_policy(iam.PolicyStatement(actions=["aps:ListAlerts"], resources=[self.arn]))

    def _build_alert_topic(self, alert_email: str | None) -> sns.Topic:
        topic = sns.Topic(self, "AlertTopic", enforce_ssl=True)
        if alert_email is not None:
            topic.add_subscription(subscriptions.EmailSubscription(alert_email))
        return topic

    def _build_log_group(self, alias: str, retention: logs.RetentionDays) -> logs.LogGroup:
        return logs.LogGroup(
            self,
            "LogGroup",
            log_group_name=f"/aws/vendedlogs/prometheus/{alias}",
            retention=retention,
            # The name is fixed: a log group that survived would block the next deployment.
            removal_policy=DataLifetime.TEMPORARY.removal_policy,
        )

    def _build_workspace(
        self, alias: str, metric_retention_days: int, log_group: logs.LogGroup, lifetime: DataLifetime
    ) -> aps.CfnWorkspace:
        workspace = aps.CfnWorkspace(
            self,
            "Workspace",
            alias=alias,
            alert_manager_definition=self._alert_manager_definition(),
            logging_configuration=aps.CfnWorkspace.LoggingConfigurationProperty(
                log_group_arn=log_group.log_group_arn
            ),
            workspace_configuration=aps.CfnWorkspace.WorkspaceConfigurationProperty(
                retention_period_in_days=metric_retention_days
            ),
        )
        workspace.apply_removal_policy(lifetime.removal_policy)
        return workspace

    def _alert_manager_definition(self) -> str:
        receiver = {
            "name": "alerts",
            "sns_configs": [
                {
                    "topic_arn": self.alert_topic.topic_arn,
                    "sigv4": {"region": Stack.of(self).region},
                    "send_resolved": True,
                }
            ],
        }
        route = {
            "receiver": "alerts",
            "group_by": ["alertname", "job"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": "1d",
            "routes": [{"receiver": "alerts", "matchers": ["severity = page"], "repeat_interval": "1h"}],
        }
        # JSON is YAML, and needs no indentation around the tokens.
        configuration = json.dumps({"route": route, "receivers": [receiver]}, indent=2).replace("\n", "\n  ")
        return f"alertmanager_config: |\n  {configuration}\n"

    def _build_rules(self, alias: str, rules: Mapping[str, str]) -> None:
        for name, text in rules.items():
            aps.CfnRuleGroupsNamespace(
                self, f"{name.capitalize()}Rules", name=f"{alias}-{name}", data=text, workspace=self.arn
            )

    def _allow_alerts(self) -> None:
        self.alert_topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("aps.amazonaws.com")],
                actions=["sns:Publish", "sns:GetTopicAttributes"],
                resources=[self.alert_topic.topic_arn],
                conditions={
                    "ArnEquals": {"aws:SourceArn": self.arn},
                    "StringEquals": {"aws:SourceAccount": Stack.of(self).account},
                },
            )
        )
