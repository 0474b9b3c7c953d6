"""A plan that no template is needed for: two to ten tasks of one CPU that scale, with every part."""

from ops.cost.prices import read as read_prices
from ops.scale.limits import Plan
from ops.scale.profile import CPU, REQUESTS, TURNS, Serving
from ops.scale.quotas import read

SERVING = Serving(
    on_lambda=False,
    turns_per_task=48,
    vcpu=1,
    min_tasks=2,
    max_tasks=10,
    targets={TURNS: 28.8, REQUESTS: 300, CPU: 60},
    prompt_seconds=30,
    metric_seconds=30,
    model_id="us.anthropic.claude-haiku-4-5-20251001-v1:0",
    embedding_model_id="amazon.titan-embed-text-v2:0",
    max_output_tokens=4096,
    budgets={"deployment": {"usd_per_month": 1000}},
    detectors=frozenset({"comprehend_pii", "comprehend_toxicity", "bedrock_checks"}),
    kinds=frozenset(
        {
            "AWS::Bedrock::KnowledgeBase",
            "AWS::Cognito::UserPool",
            "AWS::DynamoDB::Table",
            "AWS::ECS::Service",
            "AWS::KMS::Key",
            "AWS::KinesisFirehose::DeliveryStream",
            "AWS::S3Vectors::Index",
            "AWS::VerifiedPermissions::PolicyStore",
        }
    ),
    address_limit=1000,
)
LIMITS = read()
ORDINARY = LIMITS.ordinary.model_copy(update={"cpu_seconds": 0.03})
PLAN = Plan(
    SERVING, read_prices().request, LIMITS.model_copy(update={"ordinary": ORDINARY}), "us-east-1", 2.5
)
