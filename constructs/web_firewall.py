"""AWS WAF in front of an application."""

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_logs as logs
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct
from constructs.data_lifetime import DataLifetime
from constructs.unique_name import unique_name

# Rules of the common set that inspect bodies. People may ask about HTML, paths and addresses; the guardrails
# judge what they say.
BODY_RULES = (
    "SizeRestrictions_BODY",
    "CrossSiteScripting_BODY",
    "GenericLFI_BODY",
    "GenericRFI_BODY",
    "EC2MetaDataSSRF_BODY",
)
MANAGED = (
    "AWSManagedRulesAmazonIpReputationList",
    "AWSManagedRulesKnownBadInputsRuleSet",
    "AWSManagedRulesCommonRuleSet",
)


class WebFirewall(Construct):
    """A web ACL with a limit of requests per address and AWS's managed rules, in that order.

    Blocked requests are logged without the header that carries tokens; bodies are never in these logs. Rules
    about bodies count and do not block.

    Args:
        name: End of the log group's name, after the prefix that WAF requires.
        protected_arn: ARN of the load balancer or of the API's stage.
        requests_per_five_minutes: Maximum number of requests from one address in five minutes; those above it
            are answered 429.
        lifetime: Whether the log group outlives the stack.
        log_retention: How long the log group keeps events.
    """

    WINDOW_SECONDS = 300

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        protected_arn: str,
        requests_per_five_minutes: int,
        lifetime: DataLifetime,
        log_retention: logs.RetentionDays,
    ) -> None:
        super().__init__(scope, id)
        rules = [self._rate_limit(requests_per_five_minutes)]
        rules += [self._managed(priority, managed) for priority, managed in enumerate(MANAGED, 1)]
        self.acl = wafv2.CfnWebACL(
            self,
            "Acl",
            scope="REGIONAL",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=_visibility("Acl"),
            rules=rules,
        )
        wafv2.CfnWebACLAssociation(
            self, "Association", resource_arn=protected_arn, web_acl_arn=self.acl.attr_arn
        )
        self._log(name, lifetime, log_retention)

    def _rate_limit(self, requests: int) -> wafv2.CfnWebACL.RuleProperty:
        response = wafv2.CfnWebACL.CustomResponseProperty(response_code=429)
        return wafv2.CfnWebACL.RuleProperty(
            name="RateLimit",
            priority=0,
            action=wafv2.CfnWebACL.RuleActionProperty(
                block=wafv2.CfnWebACL.BlockActionProperty(custom_response=response)
            ),
            statement=wafv2.CfnWebACL.StatementProperty(
                rate_based_statement=wafv2.CfnWebACL.RateBasedStatementProperty(
                    aggregate_key_type="IP", limit=requests, evaluation_window_sec=self.WINDOW_SECONDS
                )
            ),
            visibility_config=_visibility("RateLimit"),
        )

    def _managed(self, priority: int, name: str) -> wafv2.CfnWebACL.RuleProperty:
        counted = BODY_RULES if name == "AWSManagedRulesCommonRuleSet" else ()
        return wafv2.CfnWebACL.RuleProperty(
            name=name,
            priority=priority,
            override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
            statement=wafv2.CfnWebACL.StatementProperty(
                managed_rule_group_statement=wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
                    vendor_name="AWS",
                    name=name,
                    rule_action_overrides=[
                        wafv2.CfnWebACL.RuleActionOverrideProperty(
                            name=rule, action_to_use=wafv2.CfnWebACL.RuleActionProperty(count={})
                        )
                        for rule in counted
                    ]
                    or None,
                )
            ),
            visibility_config=_visibility(name),
        )

    def _log(self, name: str, lifetime: DataLifetime, retention: logs.RetentionDays) -> None:
        log_group = logs.LogGroup(
            self,
            "LogGroup",
            log_group_name=unique_name(self, f"aws-waf-logs-{name}"),
            retention=retention,
            removal_policy=lifetime.removal_policy,
        )
        blocked = {
            "Behavior": "KEEP",
            "Requirement": "MEETS_ANY",
            "Conditions": [{"ActionCondition": {"Action": action}} for action in ("BLOCK", "COUNT")],
        }
        wafv2.CfnLoggingConfiguration(
            self,
            "Logging",
            resource_arn=self.acl.attr_arn,
            # The ARN must not have the `:*` with which the group's own ARN ends.
            log_destination_configs=[
                Stack.of(self).format_arn(
                    service="logs",
                    resource="log-group",
                    resource_name=log_group.log_group_name,
                    arn_format=ArnFormat.COLON_RESOURCE_NAME,
                )
            ],
            logging_filter={"DefaultBehavior": "DROP", "Filters": [blocked]},
            redacted_fields=[
                wafv2.CfnLoggingConfiguration.FieldToMatchProperty(single_header={"Name": "authorization"})
            ],
        )


def _visibility(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False
    )
