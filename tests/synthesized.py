"""Every profile synthesized once, with cdk-nag and CDK's own validation of the templates."""

import copy
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import app
import settings

Template = dict[str, Any]

# Settings that no profile turns on; `enclosed` has those that `everything` cannot turn on at the same time.
ALL_OPTIONS: dict[str, dict[str, Any]] = json.loads(Path("local/run/all_options.json").read_text())
PLACE = {"account": "111122223333", "region": "eu-west-1"}
# What cannot be rehearsed: a work team and prompt safety have no local service, to know a topic takes a
# model,
# and the tour raises no alarm that a model could describe.
ALL_OPTIONS["everything"]["analysis"]["description_model_id"] = (
    "global.anthropic.claude-haiku-4-5-20251001-v1:0"
)
ALL_OPTIONS["everything"]["review"] = {"backend": "ground_truth"}
ALL_OPTIONS["everything"]["assistant"]["guardrails"]["detectors"]["safety"] = {
    "kind": "comprehend_prompt_safety"
}
ALL_OPTIONS["everything"]["assistant"]["bedrock_guardrail"]["denied_topics"] = {
    "Investment advice": "Advice on what to do with one's savings or shares."
}
EVERYTHING, ENCLOSED = ({**ALL_OPTIONS[name], **PLACE} for name in ("everything", "enclosed"))


@dataclass(frozen=True)
class Assembly:
    """The output of synth for a profile."""

    profile: str
    templates: dict[str, Template]
    report: list[dict[str, Any]]

    def resources(self, *types: str) -> dict[str, dict[str, Any]]:
        """Return the resources of the types (all types by default) of every stack, by `<stack>/<logical
        id>`.
        """
        return {
            f"{stack}/{logical_id}": resource
            for stack, template in self.templates.items()
            for logical_id, resource in template["Resources"].items()
            if not types or resource["Type"] in types
        }


def context(profile: str, **changes: Any) -> dict[str, Any]:
    """Return the context of cdk.json, with a profile added or changed."""
    values = copy.deepcopy(settings.read_context())
    values["fmops"].setdefault(profile, {}).update(changes)
    return {**values, "profile": profile}


def _synthesize(profile: str, outdir: Path, **changes: Any) -> Assembly:
    cdk_app = app.build({**context(profile, **changes), "nag": "true"}, str(outdir))
    try:
        cdk_app.synth()
    except RuntimeError as error:
        # The findings are in the report, which test_synthesis.py reads.
        if "ValidationFailed" not in str(error):
            raise
    templates = {
        file.name.removesuffix(".template.json"): json.loads(file.read_text())
        for file in sorted(outdir.glob("*.template.json"))
    }
    report = json.loads((outdir / "validation-report.json").read_text())
    return Assembly(profile, templates, report["pluginReports"])


@pytest.fixture(scope="session")
def assemblies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Assembly]:
    """Return the assemblies of the profiles, of `everything` and of `enclosed`; made once for all folders."""
    return _assemblies(tmp_path_factory.getbasetemp())


@functools.cache
def _assemblies(directory: Path) -> dict[str, Assembly]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CDK_VALIDATION", raising=False)
        return {
            name: _synthesize(name, directory / f"assembly-{name}", **changes)
            for name, changes in [
                ("dev", {}),
                ("prod", {}),
                ("serverless", {}),
                ("everything", EVERYTHING),
                ("enclosed", ENCLOSED),
            ]
        }


@pytest.fixture(params=["dev", "prod", "everything"])
def on_ecs(request: pytest.FixtureRequest, assemblies: dict[str, Assembly]) -> Assembly:
    """Return each assembly whose assistant runs on ECS."""
    return assemblies[request.param]


@pytest.fixture(params=["dev", "prod", "serverless", "everything", "enclosed"])
def assembly(request: pytest.FixtureRequest, assemblies: dict[str, Assembly]) -> Assembly:
    """Return each assembly in turn."""
    return assemblies[request.param]
