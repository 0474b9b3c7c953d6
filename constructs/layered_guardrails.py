"""The AWS side of an application's guardrails: permissions for the detectors that are on, and a Bedrock
guardrail.
"""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from aws_cdk import Duration, Stack, Token
from aws_cdk import aws_bedrock as bedrock
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from constructs import Construct, guardrail_settings
from constructs.acknowledge import acknowledge
from constructs.alarms import notify
from constructs.guardrail_settings import GuardrailSettingsError

Tier = Literal["CLASSIC", "STANDARD"]

# IAM knows no resources for these actions.
ACTIONS = {
    "bedrock_checks": "bedrock:InvokeGuardrailChecks",
    "comprehend_pii": "comprehend:DetectPiiEntities",
    "comprehend_toxicity": "comprehend:DetectToxicContent",
}
CONTENT_FILTERS = ("HATE", "INSULTS", "SEXUAL", "VIOLENCE", "MISCONDUCT")
# The guardrail's kinds of personal data, except those that are seldom personal: names, ages and addresses
# of web pages.
PERSONAL_DATA = (
    "ADDRESS", "AWS_ACCESS_KEY", "AWS_SECRET_KEY", "CA_HEALTH_NUMBER", "CA_SOCIAL_INSURANCE_NUMBER",
    "CREDIT_DEBIT_CARD_CVV", "CREDIT_DEBIT_CARD_EXPIRY", "CREDIT_DEBIT_CARD_NUMBER", "DRIVER_ID", "EMAIL",
    "INTERNATIONAL_BANK_ACCOUNT_NUMBER", "IP_ADDRESS", "LICENSE_PLATE", "MAC_ADDRESS", "PASSWORD", "PHONE", "PIN",
    "SWIFT_CODE", "UK_NATIONAL_HEALTH_SERVICE_NUMBER", "UK_NATIONAL_INSURANCE_NUMBER",
    "UK_UNIQUE_TAXPAYER_REFERENCE_NUMBER", "USERNAME", "US_BANK_ACCOUNT_NUMBER", "US_BANK_ROUTING_NUMBER",
    "US_INDIVIDUAL_TAX_IDENTIFICATION_NUMBER", "US_PASSPORT_NUMBER", "US_SOCIAL_SECURITY_NUMBER",
    "VEHICLE_IDENTIFICATION_NUMBER",
)  # fmt: skip


class LayeredGuardrails(Construct):
    """Permissions for the detectors and, if one of kind `bedrock_guardrail` is on, a Bedrock guardrail with its
    version and alarms.

    The guardrail itself only detects and never blocks: what follows from a finding is decided by the policy in
    `settings`, which also covers tool calls. A detector whose options name a `guardrail_id` asks that guardrail
    instead.

    Args:
        name: Name of the Bedrock guardrail, unique in the account and region.
        schema: File with the JSON schema of the settings, `fmops/guardrails/settings.schema.json`.
        settings: Settings of `fmops.guardrails`; the runtime's defaults if empty. Raises
            `GuardrailSettingsError` for a setting that is not usable.
        path: Path of `settings` in error messages, `guardrails` by default.
        tier: Tier of the Bedrock guardrail. `CLASSIC`, the default, knows English, French and Spanish.
            `STANDARD` knows some sixty languages and prompt leakage, and needs a `cross_region_profile` (Amazon
            Bedrock User Guide, "Safeguard tiers").
        cross_region_profile: Guardrail profile that lets Bedrock check text in other regions of its geography,
            such as `us.guardrail.v1:0`. None by default: text is checked in this region.
        denied_words: Words, and phrases of up to three words, that the guardrail reports as `denied_word`.
            None by default.
        denied_topics: Definitions, by name, of the topics that the guardrail reports as `denied_topic`.
            None by default.
        alarm_topic: SNS topic that is told when checks fail, are throttled, or take longer than the detector
            may. No alarms by default.
    """

    UNANSWERED = 5
    """Number of unanswered checks in five minutes that rings the alarm; as many texts may have been blocked
    because of them."""

    def __init__(
        self,
        scope: Construct,
        id: str,  # noqa: A002 - CDK's name
        *,
        name: str,
        schema: Path,
        settings: Mapping[str, Any] | None = None,
        path: str = "guardrails",
        tier: Tier = "CLASSIC",
        cross_region_profile: str | None = None,
        denied_words: Sequence[str] = (),
        denied_topics: Mapping[str, str] | None = None,
        alarm_topic: sns.ITopic | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._settings = dict(settings or {})
        self._detectors = guardrail_settings.detectors(
            self._settings, json.loads(schema.read_text()), path=path
        )
        self._cross_region_profile = cross_region_profile
        self._asking = self._detectors_asking_ours(path)
        self.guardrail: bedrock.CfnGuardrail | None = None
        self.version: bedrock.CfnGuardrailVersion | None = None
        self.alarms: list[cloudwatch.Alarm] = []
        if self._asking:
            self._check_tier(tier)
            configuration = self._configuration(tier, denied_words, denied_topics or {})
            self.guardrail = self._build_guardrail(name, configuration)
            self.version = self._build_version(self.guardrail, configuration)
            self.alarms = self._build_alarms(self.guardrail, self.version, alarm_topic)

    @property
    def settings_json(self) -> str:
        """Settings for the application, with the id and the version of the guardrail filled in."""
        settings = copy.deepcopy(self._settings)
        for name in self._asking:
            assert self.guardrail is not None and self.version is not None  # noqa: S101 - made for them
            settings["detectors"][name]["options"] = {
                "guardrail_id": self.guardrail.attr_guardrail_id,
                "guardrail_version": self.version.attr_version,
            }
        # CDK's own to_json_string drops nulls, which remove detectors; an id needs no escaping.
        return json.dumps(settings)

    def grant_use(self, role: iam.Role) -> None:
        """Allow a role to call the detectors that are on, and no others. Permissions for a detector class of
        your own are yours to grant."""
        kinds = {detector["kind"] for detector in self._detectors.values()}
        if without_resources := sorted(ACTIONS[kind] for kind in kinds & ACTIONS.keys()):
            role.add_to_policy(iam.PolicyStatement(actions=without_resources, resources=["*"]))
            acknowledge(
                role.node.find_child("DefaultPolicy"),
                "Comprehend's detectors and Bedrock's guardrail checks have no resources in IAM.",
                "AwsSolutions-IAM5[Resource::*]",
            )
        if "comprehend_prompt_safety" in kinds:
            endpoint = Stack.of(self).format_arn(
                service="comprehend",
                account="aws",
                resource="document-classifier-endpoint",
                resource_name="prompt-safety",
            )
            role.add_to_policy(
                iam.PolicyStatement(actions=["comprehend:ClassifyDocument"], resources=[endpoint])
            )
        if guardrails := self._guardrail_arns():
            role.add_to_policy(iam.PolicyStatement(actions=["bedrock:ApplyGuardrail"], resources=guardrails))
        if self.guardrail is not None and self._cross_region_profile is not None:
            self._grant_profile(role, self._cross_region_profile)

    def _detectors_asking_ours(self, path: str) -> list[str]:
        """Return the names of the detectors that use the guardrail of this stack."""
        asking = []
        for name, detector in self._detectors.items():
            options = detector.get("options", {})
            if detector["kind"] != "bedrock_guardrail":
                continue
            if not options:
                asking.append(name)
            elif options.keys() != {"guardrail_id", "guardrail_version"}:
                raise GuardrailSettingsError(
                    f"{path}.detectors.{name}.options must hold guardrail_id and guardrail_version of a"
                    " guardrail that is there, or nothing, for one that is made with the stack."
                )
        return asking

    def _check_tier(self, tier: Tier) -> None:
        if tier == "STANDARD" and self._cross_region_profile is None:
            raise GuardrailSettingsError(
                "The guardrail's tier STANDARD needs a cross_region_profile, such as us.guardrail.v1:0:"
                " Bedrock may then check text in other regions of that geography. Where it must not, use the"
                " tier CLASSIC."
            )

    def _configuration(
        self, tier: Tier, denied_words: Sequence[str], denied_topics: Mapping[str, str]
    ) -> dict[str, Any]:
        # Every strength is HIGH, so that the policy's thresholds decide, on the confidence that comes
        # with each finding.
        detect = {"inputAction": "NONE", "outputAction": "NONE", "inputEnabled": True, "outputEnabled": True}
        attack = {"inputAction": "NONE", "inputEnabled": True}
        filters = [
            *({"type": kind, "inputStrength": "HIGH", "outputStrength": "HIGH", **detect} for kind in CONTENT_FILTERS),
            {"type": "PROMPT_ATTACK", "inputStrength": "HIGH", "outputStrength": "NONE", **attack},
        ]  # fmt: skip
        entities = [{"type": kind, "action": "NONE", **detect} for kind in PERSONAL_DATA]
        configuration: dict[str, Any] = {
            "content_policy_config": {
                "filtersConfig": filters,
                "contentFiltersTierConfig": {"tierName": tier},
            },
            "sensitive_information_policy_config": {"piiEntitiesConfig": entities},
        }
        if denied_words:
            words = [{"text": word, **detect} for word in denied_words]
            configuration["word_policy_config"] = {"wordsConfig": words}
        if denied_topics:
            topics = [
                {"name": name, "definition": definition, "type": "DENY", **detect}
                for name, definition in denied_topics.items()
            ]
            configuration["topic_policy_config"] = {
                "topicsConfig": topics,
                "topicsTierConfig": {"tierName": tier},
            }
        if self._cross_region_profile:
            profile = self._profile_arn(Stack.of(self).region, self._cross_region_profile)
            configuration["cross_region_config"] = {"guardrailProfileArn": profile}
        return configuration

    def _build_guardrail(self, name: str, configuration: dict[str, Any]) -> bedrock.CfnGuardrail:
        return bedrock.CfnGuardrail(
            self,
            "Guardrail",
            name=name,
            blocked_input_messaging="Blocked by a guardrail.",
            blocked_outputs_messaging="Blocked by a guardrail.",
            **configuration,
        )

    def _build_version(
        self, guardrail: bedrock.CfnGuardrail, configuration: dict[str, Any]
    ) -> bedrock.CfnGuardrailVersion:
        """Create a version for each configuration: a version never changes, so its description follows the
        configuration and makes a new one."""
        resolved = json.dumps(Stack.of(self).resolve(configuration), sort_keys=True)
        return bedrock.CfnGuardrailVersion(
            self,
            "Version",
            guardrail_identifier=guardrail.attr_guardrail_id,
            description=f"Configuration {hashlib.sha256(resolved.encode()).hexdigest()[:12]}",
        )

    def _build_alarms(
        self,
        guardrail: bedrock.CfnGuardrail,
        version: bedrock.CfnGuardrailVersion,
        topic: sns.ITopic | None,
    ) -> list[cloudwatch.Alarm]:
        """Create alarms on the metrics of `AWS/Bedrock/Guardrails`. Interventions are not among them: a
        guardrail that only detects never intervenes."""
        dimensions = {
            "GuardrailArn": guardrail.attr_guardrail_arn,
            "GuardrailVersion": version.attr_version,
        }
        patience = min(self._detectors[name].get("timeout_ms", 1500) for name in self._asking)
        watched = [
            ("InvocationServerErrors", "Sum", self.UNANSWERED, "Bedrock fails to check texts."),
            (
                "InvocationClientErrors",
                "Sum",
                self.UNANSWERED,
                "Bedrock refuses checks: look at the role and the version.",
            ),
            ("InvocationThrottles", "Sum", self.UNANSWERED, "Checks are throttled: ask for a higher quota."),
            ("InvocationLatency", "p99", patience, "Checks take longer than the detector's timeout_ms."),
        ]
        alarms = [
            cloudwatch.Alarm(
                self,
                metric,
                alarm_description=f"{meaning} Texts without an answer count as the detector's on_error says.",
                metric=cloudwatch.Metric(
                    namespace="AWS/Bedrock/Guardrails",
                    metric_name=metric,
                    dimensions_map=dimensions,
                    statistic=statistic,
                    period=Duration.minutes(5),
                ),
                threshold=threshold,
                evaluation_periods=1,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            for metric, statistic, threshold, meaning in watched
        ]
        if topic is not None:
            notify(alarms, topic)
        return alarms

    def _guardrail_arns(self) -> list[str]:
        named = (
            detector["options"]["guardrail_id"]
            for name, detector in self._detectors.items()
            if detector["kind"] == "bedrock_guardrail" and name not in self._asking
        )
        arns = [
            each
            if each.startswith("arn:")
            else Stack.of(self).format_arn(service="bedrock", resource="guardrail", resource_name=each)
            for each in named
        ]
        return [*arns, *([self.guardrail.attr_guardrail_arn] if self.guardrail else [])]

    def _profile_arn(self, region: str, profile: str) -> str:
        return Stack.of(self).format_arn(
            service="bedrock", region=region, resource="guardrail-profile", resource_name=profile
        )

    def _grant_profile(self, role: iam.Role, profile: str) -> None:
        """Allow the profile in every region that it may send checks to; AWS chooses those and may add more."""
        stack = Stack.of(self)
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["bedrock:ApplyGuardrail"], resources=[self._profile_arn("*", profile)]
            )
        )
        partition = "<AWS::Partition>" if Token.is_unresolved(stack.partition) else stack.partition
        account = "<AWS::AccountId>" if Token.is_unresolved(stack.account) else stack.account
        acknowledge(
            role.node.find_child("DefaultPolicy"),
            "The guardrail profile sends checks to regions of its geography: one profile, in whichever region.",
            f"AwsSolutions-IAM5[Resource::arn:{partition}:bedrock:*:{account}:guardrail-profile/{profile}]",
        )
