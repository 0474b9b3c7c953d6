"""Names of what the guardrails put on spans. Never content."""

from typing import Final

DETECTOR: Final = "fmops.guardrail.detector"
DIRECTION: Final = "fmops.guardrail.direction"
RESULT: Final = "fmops.guardrail.result"
FINDINGS: Final = "fmops.guardrail.findings"
REQUESTS: Final = "fmops.guardrail.requests"
ERROR_TYPE: Final = "error.type"
