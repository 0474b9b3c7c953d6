"""The FMOps blueprint as one CDK app: settings in, stacks out."""

import sys
from collections.abc import Mapping
from typing import Any

import stacks.nodejs  # noqa: F401 - before aws_cdk: it finds Node for it

# isort: split
from aws_cdk import App, Stage
from constructs import Construct

from settings import Settings, load, load_next
from stacks.analysis import Analysis
from stacks.assistant import Assistant
from stacks.capture import Capture
from stacks.foundation import Foundation
from stacks.github import GitHub
from stacks.identity import Identity
from stacks.knowledge import Knowledge, check_documents
from stacks.observability import Observability
from stacks.pipeline import Pipeline
from stacks.review import Review
from stacks.synthesis import check, synthesize
from stacks.tracking import Tracking
from stacks.transaction_search import TransactionSearch


def environment(app: Construct, settings: Settings) -> None:
    """Build the stacks of one environment, each from those that it stands on."""
    foundation = Foundation(app, "Foundation", settings=settings)
    identity = Identity(app, "Identity", settings=settings)
    tracking = Tracking(app, "Tracking", settings=settings, foundation=foundation)
    observability = Observability(app, "Observability", settings=settings)
    capture = Capture(app, "Capture", settings=settings, foundation=foundation)
    knowledge = _knowledge(app, settings, foundation, observability)
    assistant = Assistant(
        app,
        "Assistant",
        settings=settings,
        foundation=foundation,
        identity=identity,
        tracking=tracking,
        observability=observability,
        capture=capture,
        knowledge=knowledge,
    )
    if settings.observability.transaction_search == "enable":
        assistant.add_stack_dependency(TransactionSearch(app, "TransactionSearch", settings=settings))
    Review(
        app,
        "Review",
        settings=settings,
        foundation=foundation,
        identity=identity,
        tracking=tracking,
        observability=observability,
        assistant=assistant,
        knowledge=knowledge,
    )
    Analysis(
        app,
        "Analysis",
        settings=settings,
        foundation=foundation,
        tracking=tracking,
        observability=observability,
        knowledge=knowledge,
    )


def _knowledge(
    app: Construct, settings: Settings, foundation: Foundation, observability: Observability
) -> Knowledge | None:
    """Check the agent's documents, and build the stack of the documents unless they are packaged in the image."""
    check_documents()
    if not settings.knowledge.has_base:
        return None
    return Knowledge(app, "Knowledge", settings=settings, foundation=foundation, observability=observability)


def pipeline(app: App, settings: Settings, following: Settings | None) -> None:
    """Build the pipeline of an environment, which deploys it and then the following one."""
    options = settings.delivery.pipeline
    assert options  # noqa: S101 - the caller has looked
    crosses = bool(following and following.account != settings.account)
    made = Pipeline(app, "Pipeline", settings=settings, options=options, cross_account=crosses)
    stages = []
    for deployed in [settings, following] if following else [settings]:
        stages.append(Stage(made, deployed.profile.capitalize()))
        environment(stages[-1], deployed)
    made.deploy(stages)


def build(context: Mapping[str, Any], outdir: str | None = None) -> App:
    """Build all stacks of the profile that the context names, and of what delivers them."""
    settings = load(context)
    app = App(context=dict(context), outdir=outdir)
    environment(app, settings)
    if settings.delivery.github:
        GitHub(app, "GitHub", settings=settings, repository=settings.delivery.github)
    if settings.delivery.pipeline and context.get("pipeline") != "false":
        pipeline(app, settings, load_next(context, settings))
    if context.get("nag") == "true":
        check(app)
    return app


if __name__ == "__main__":
    synthesize(build, sys.argv[1:])
