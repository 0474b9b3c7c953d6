"""CloudWatch Transaction Search, of which an account has one per region."""

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_xray as xray
from constructs import Construct


class TransactionSearch(Construct):
    """Makes X-Ray put every span into CloudWatch Logs (`aws/spans`), for all applications of the account
    in the region.

    It can only be created where it is off, and deleting it turns it off for everyone. Source: CloudWatch user
    guide, "Enable transaction search with CloudFormation".

    Args:
        index_percent: Percentage of the spans that X-Ray also indexes as trace summaries.
    """

    def __init__(self, scope: Construct, id: str, *, index_percent: float) -> None:  # noqa: A002 - CDK's name
        super().__init__(scope, id)
        policy = self._build_policy()
        config = xray.CfnTransactionSearchConfig(self, "Config", indexing_percentage=index_percent)
        config.node.add_dependency(policy)

    def _build_policy(self) -> logs.CfnResourcePolicy:
        stack = Stack.of(self)
        groups = ("aws/spans", "/aws/application-signals/data")
        statement = iam.PolicyStatement(
            principals=[iam.ServicePrincipal("xray.amazonaws.com")],
            actions=["logs:PutLogEvents"],
            resources=[stack.format_arn(service="logs", resource=f"log-group:{group}:*") for group in groups],
            conditions={
                "ArnLike": {"aws:SourceArn": stack.format_arn(service="xray", resource="*")},
                "StringEquals": {"aws:SourceAccount": stack.account},
            },
        )
        return logs.CfnResourcePolicy(
            self,
            "Policy",
            policy_name=f"{stack.stack_name}-spans",
            policy_document=stack.to_json_string(iam.PolicyDocument(statements=[statement]).to_json()),
        )
