"""Service Quotas: the quotas that `make doctor` reads, with AWS's default values; values that a test sets
are the account's."""

from __future__ import annotations

from local.aws.kernel.api import Context, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud

SERVICE = "service-quotas"
FARGATE_USE = {
    "MetricNamespace": "AWS/Usage",
    "MetricName": "ResourceCount",
    "MetricDimensions": {
        "Service": "Fargate",
        "Type": "Resource",
        "Resource": "vCPU",
        "Class": "Standard/OnDemand",
    },
    "MetricStatisticRecommendation": "Maximum",
}


class Quotas(ServiceState):
    """Value and name of each quota, by service and code. Codes with LOCAL in them are made up."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.values = {
            ("vpc", "L-F678F1CE"): 5.0,
            ("vpc", "L-FE5A380F"): 5.0,
            ("ec2", "L-0263D0A3"): 5.0,
            ("fargate", "L-3032A538"): 6.0,
            ("sagemaker", "L-LOCAL003"): 4.0,
            ("emr-serverless", "L-LOCAL004"): 64.0,
            ("lambda", "L-B99A9384"): 1000.0,
            ("bedrock", "L-LOCAL001"): 1_000_000.0,
            ("bedrock", "L-LOCAL002"): 1_000_000.0,
        }
        self.names = {
            ("vpc", "L-F678F1CE"): "VPCs per Region",
            ("vpc", "L-FE5A380F"): "NAT gateways per Availability Zone",
            ("ec2", "L-0263D0A3"): "EC2-VPC Elastic IPs",
            ("fargate", "L-3032A538"): "Fargate On-Demand vCPU resource count",
            ("emr-serverless", "L-LOCAL004"): "Max concurrent vCPUs per account",
            ("lambda", "L-B99A9384"): "Concurrent executions",
            ("sagemaker", "L-LOCAL003"): "ml.m5.large for processing job usage",
            (
                "bedrock",
                "L-LOCAL001",
            ): "Cross-region model inference tokens per minute for Anthropic Claude Haiku 4.5",
            (
                "bedrock",
                "L-LOCAL002",
            ): "Global cross-region model inference tokens per minute for Anthropic Claude Haiku 4.5",
        }

    def quota(self, service: str, code: str) -> Params:
        quota = {
            "ServiceCode": service,
            "QuotaCode": code,
            "QuotaName": self.names[service, code],
            "Value": self.values[service, code],
        }
        return quota | ({"UsageMetric": FARGATE_USE} if service == "fargate" else {})


@operation(SERVICE, "GetServiceQuota")
def get_service_quota(params: Params, context: Context) -> Params:
    quotas, key = context.state(Quotas), (params["ServiceCode"], params["QuotaCode"])
    if key not in quotas.values:
        raise ServiceError(
            "NoSuchResourceException", "The request failed because the specified quota is not here."
        )
    return {"Quota": quotas.quota(*key)}


@operation(SERVICE, "ListServiceQuotas")
def list_service_quotas(params: Params, context: Context) -> Params:
    quotas = context.state(Quotas)
    return {"Quotas": [quotas.quota(*key) for key in quotas.values if key[0] == params["ServiceCode"]]}
