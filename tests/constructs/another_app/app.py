"""Another CDK app: each example of constructs/README.md in a stack of its own, with the outcome in
examples.json.
"""

import json
import re
import traceback
from pathlib import Path
from typing import Any

from aws_cdk import App, CfnResource, Stack, Validations
from cdk_nag import AwsSolutionsChecks

EXAMPLE = re.compile(
    r"^## (?P<name>\w+)\n(?:(?!## ).*\n)*?\[Arguments.*\n\n```python\n(?P<code>(?:(?!```).*\n)*)```$",
    re.MULTILINE,
)


def add(app: App, name: str, code: str) -> dict[str, Any]:
    """Return the error, or the paths of the constructs in the example, with the ids of their resources."""
    stack = Stack(app, name)
    try:
        exec(compile(code, f"README.md, {name}", "exec"), {"stack": stack})
    except Exception:  # noqa: BLE001 - whatever it is, the example's test shows it
        app.node.try_remove_child(name)
        return {"error": traceback.format_exc(), "resources": {}}
    made = [each for each in stack.node.find_all() if type(each).__name__ == name]
    return {
        "error": None,
        "resources": {
            each.node.path: [
                stack.resolve(resource.logical_id)
                for resource in each.node.find_all()
                if isinstance(resource, CfnResource)
            ]
            for each in made
        },
    }


if __name__ == "__main__":
    cdk_app = App(outdir="cdk.out")
    Validations.of(cdk_app).add_plugins(AwsSolutionsChecks(cdk_app, verbose=True))
    text = Path("constructs/README.md").read_text()
    examples = {found["name"]: add(cdk_app, found["name"], found["code"]) for found in EXAMPLE.finditer(text)}
    Path("examples.json").write_text(json.dumps(examples))
    try:
        cdk_app.synth()
    except RuntimeError as error:
        # The findings are in the report.
        if "ValidationFailed" not in str(error):
            raise
