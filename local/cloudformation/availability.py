"""``python -m local.cloudformation.availability CLOUD_ASSEMBLY...``: the regions that lack the templates' resource types.

Read from the schemas that CloudFormation publishes for each region, as cfn-lint packages them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from importlib import resources
from pathlib import Path


def missing(types: Iterable[str]) -> dict[str, list[str]]:
    """Return the public regions without each AWS resource type; types that are in all of them are left out."""
    from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

    wanted = {name for name in types if name.startswith("AWS::") and name != "AWS::CDK::Metadata"}
    found: dict[str, list[str]] = {}
    for region in _regions():
        for name in wanted - set(PROVIDER_SCHEMA_MANAGER.get_resource_types(region)):
            found.setdefault(name, []).append(region)
    return dict(sorted(found.items()))


def _regions() -> list[str]:
    """Return the regions with schemas of their own: for others, cfn-lint answers with those of us-east-1."""
    files = resources.files("cfnlint.data.schemas.providers").iterdir()
    names = {Path(file.name).stem for file in files if file.name.endswith(".json")} - {"sam"}
    return sorted(name for name in names if "iso" not in name and not name.startswith("eusc"))


if __name__ == "__main__":
    from stacks.availability import ALTERNATIVES, resource_types, stacks

    made = {name for each in sys.argv[1:] for file, _ in stacks(Path(each)) for name in resource_types(file)}
    print(json.dumps(missing({*made, *ALTERNATIVES.values()}), indent=2))
