"""The operator's commands: ``python -m fmops.evaluation --help``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import webbrowser
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fmops.evaluation.deployment import Deployment, DeploymentError, operator
from fmops.prompts import PromptError

if TYPE_CHECKING:
    from fmops.evaluation.registry import PromptRegistry

URL_SECONDS = 300
"""How long a presigned address can be opened: the service's most."""


def main(arguments: list[str] | None = None) -> int:
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options, Deployment(options.environment)) or 0)
    except (DeploymentError, PromptError) as error:
        print(error, file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fmops.evaluation", description=__doc__)
    parser.add_argument("--environment", default="fmops-dev", help="<prefix>-<profile> of the deployment")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    mlflow = commands.add_parser("ui", help="open MLflow's UI by a presigned address")
    mlflow.add_argument("--print", action="store_true", help="print the address, open nothing")
    mlflow.set_defaults(run=ui)
    register = commands.add_parser("register", help="register a prompt: the packaged one, or a file")
    register.add_argument("file", nargs="?", type=Path, help="the packaged prompt when there is none")
    register.add_argument("--message", default="", help="what this version changes")
    register.set_defaults(run=register_prompt)
    promote = commands.add_parser("promote", help="let a version serve, without the gate")
    promote.add_argument("version")
    promote.add_argument("--reason", required=True, help="why the gate is not asked; it is recorded")
    promote.set_defaults(run=promote_prompt)
    rollback = commands.add_parser("rollback", help="let serve what served before the last promotion")
    rollback.add_argument("--reason", default="rolled back by the operator")
    rollback.set_defaults(run=rollback_prompt)
    history = commands.add_parser("history", help="versions of the prompt, and who let which serve")
    history.set_defaults(run=show_history)
    return parser


def ui(options: argparse.Namespace, deployment: Deployment) -> None:
    import boto3

    arn = deployment.output("Tracking", "MlflowAppArn")
    answer = boto3.client("sagemaker").create_presigned_mlflow_app_url(
        Arn=arn, ExpiresInSeconds=URL_SECONDS, SessionExpirationDurationInSeconds=43_200
    )
    print(f"Good for one visit within {URL_SECONDS // 60} minutes:\n{answer['AuthorizedUrl']}")
    if not options.print:
        webbrowser.open(answer["AuthorizedUrl"])


def register_prompt(options: argparse.Namespace, deployment: Deployment) -> None:
    from fmops.assistant.agent import PROMPT, PROMPT_NAME

    registry = _registry(deployment)
    path: Path = options.file or PROMPT
    message = options.message or ("the packaged prompt" if options.file is None else f"from {path.name}")
    made = registry.register(PROMPT_NAME, path.read_text(), message=message)
    print(f"{PROMPT_NAME} version {made.version}")
    if not registry.serving_version(PROMPT_NAME):
        registry.promote(PROMPT_NAME, made.version, by=operator(), reason="the first version")
        print("It serves: there was none before it.")


def promote_prompt(options: argparse.Namespace, deployment: Deployment) -> None:
    from fmops.assistant.agent import PROMPT_NAME

    move = _registry(deployment).promote(
        PROMPT_NAME, options.version, by=operator(), reason=f"without the gate: {options.reason}"
    )
    print(
        f"{PROMPT_NAME} version {move.to_version} serves; before it, {move.from_version or 'the packaged prompt'}."
    )


def rollback_prompt(options: argparse.Namespace, deployment: Deployment) -> None:
    from fmops.assistant.agent import PROMPT_NAME

    move = _registry(deployment).rollback(PROMPT_NAME, by=operator(), reason=options.reason)
    print(f"{PROMPT_NAME} {f'version {move.to_version}' if move.to_version else 'as packaged'} serves again.")


def show_history(_: argparse.Namespace, deployment: Deployment) -> None:
    from fmops.assistant.agent import PROMPT_NAME

    registry = _registry(deployment)
    serving = registry.serving_version(PROMPT_NAME)
    for prompt in registry.versions(PROMPT_NAME):
        mark = "  serves" if prompt.version == serving else ""
        print(f"version {prompt.version}: {len(prompt.template)} characters{mark}")
    for move in registry.history(PROMPT_NAME):
        at = datetime.fromtimestamp(move.at / 1000, UTC).isoformat(timespec="seconds")
        print(
            f"{at} {move.action} {move.from_version or 'packaged'} -> {move.to_version or 'packaged'} by {move.by}: {move.reason}"
        )


def _registry(deployment: Deployment) -> PromptRegistry:
    from fmops.evaluation.registry import PromptRegistry

    return PromptRegistry(deployment.output("Tracking", "MlflowAppArn"))


if __name__ == "__main__":
    sys.exit(main())
