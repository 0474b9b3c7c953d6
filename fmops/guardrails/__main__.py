"""Print the JSON schema of the guardrails' settings."""

import json

from fmops.guardrails.settings import json_schema

print(json.dumps(json_schema(), indent=1))  # noqa: T201 - the command's output
