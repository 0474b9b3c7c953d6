"""The FMOps blueprint as one CDK app: settings in, stacks out."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import stacks.nodejs  # noqa: F401 - before aws_cdk: it finds Node for it

# isort: split
from aws_cdk import App, Stage, Validations
from constructs import Construct
from constructs.agent_function import FunctionEnvironmentError
from constructs.cedar import CedarError
from constructs.delivery_pipeline import PlatformError
from constructs.guardrail_settings import GuardrailSettingsError
from constructs.hive import SchemaError

import settings
from stacks import availability
from stacks.analysis import Analysis
from stacks.assistant import Assistant
from stacks.capture import Capture
from stacks.foundation import Foundation
from stacks.github import GitHub
from stacks.identity import Identity
from stacks.observability import Observability
from stacks.pipeline import Pipeline
from stacks.review import Review
from stacks.tracking import Tracking
from stacks.transaction_search import TransactionSearch


def build(context: Mapping[str, Any], outdir: str | None = None) -> App:
    """Return an app with all stacks of the profile that the context names."""
    profile = settings.load(context)
    app = App(context=dict(context), outdir=outdir)
    environment(app, profile)
    if profile.delivery.github:
        GitHub(app, "GitHub", settings=profile, repository=profile.delivery.github)
    if profile.delivery.pipeline and context.get("pipeline") != "false":
        pipeline(app, profile, settings.load_next(context, profile))
    if context.get("nag") == "true":
        check(app)
    return app


def pipeline(app: App, profile: settings.Settings, following: settings.Settings | None) -> None:
    """Add the profile's pipeline, which deploys its environment and the following one's."""
    options = profile.delivery.pipeline
    assert options  # noqa: S101 - the caller has checked
    made = Pipeline(
        app,
        "Pipeline",
        settings=profile,
        options=options,
        cross_account=bool(following and following.account != profile.account),
    )
    stages = []
    for deployed in [profile, following] if following else [profile]:
        stages.append(Stage(made, deployed.profile.capitalize()))
        environment(stages[-1], deployed)
    made.deploy(stages)


def environment(app: Construct, profile: settings.Settings) -> None:
    """Add the stacks of one environment."""
    foundation = Foundation(app, "Foundation", settings=profile)
    identity = Identity(app, "Identity", settings=profile)
    tracking = Tracking(app, "Tracking", settings=profile, foundation=foundation)
    observability = Observability(app, "Observability", settings=profile)
    capture = Capture(app, "Capture", settings=profile, foundation=foundation)
    assistant = Assistant(
        app,
        "Assistant",
        settings=profile,
        foundation=foundation,
        identity=identity,
        observability=observability,
        capture=capture,
        tracking=tracking,
    )
    if profile.observability.transaction_search == "enable":
        assistant.add_stack_dependency(TransactionSearch(app, "TransactionSearch", settings=profile))
    Review(
        app,
        "Review",
        settings=profile,
        foundation=foundation,
        identity=identity,
        assistant=assistant,
        tracking=tracking,
        observability=observability,
    )
    Analysis(
        app,
        "Analysis",
        settings=profile,
        foundation=foundation,
        tracking=tracking,
        observability=observability,
    )


def check(app: App) -> None:
    """Make synth fail on findings of cdk-nag's AwsSolutions rules that nobody has acknowledged."""
    # Imported here, because loading it takes as long as building a stack.
    from cdk_nag import AwsSolutionsChecks

    Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))


def main(arguments: Sequence[str]) -> None:
    """Synthesize, or exit with a sentence that says what is wrong with a setting, a policy or the record's schema."""
    try:
        assembly = build(settings.read_context(arguments)).synth()
        availability.check(Path(assembly.directory), availability.deploy_region())
    except (
        settings.SettingsError,
        availability.RegionError,
        CedarError,
        FunctionEnvironmentError,
        GuardrailSettingsError,
        PlatformError,
        SchemaError,
    ) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
