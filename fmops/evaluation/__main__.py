"""The operator's commands: ``python -m fmops.evaluation --help``."""

from __future__ import annotations

import argparse
import logging
import sys
import webbrowser
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from fmops import written
from fmops.agent import CASES, LABELS, NAME, PROMPT
from fmops.deployment import Deployment, DeploymentError, explained, operator
from fmops.evaluation.cases import EvaluationError
from fmops.prompts import Prompt, PromptError
from fmops.tracking import quiet_mlflow

if TYPE_CHECKING:
    from fmops.evaluation.registry import PromptRegistry
    from fmops.evaluation.setup import Setup

URL_SECONDS = 300
"""Seconds within which a presigned address must be opened: the service's maximum."""


def main(arguments: list[str] | None = None, deployment: Deployment | None = None) -> int:
    """Run a command. ``deployment`` overrides the one that the arguments name."""
    quiet_mlflow()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options, deployment or Deployment(options.environment)) or 0)
    except (EvaluationError, DeploymentError, PromptError, written.UnreadableFileError) as error:
        print(error, file=sys.stderr)
        return 2
    except (BotoCoreError, ClientError) as error:
        print(explained(error), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            "Stopped: answers and verdicts that were paid for are kept. Run it again to continue.",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fmops.evaluation", description=__doc__)
    parser.add_argument("--environment", default="fmops-dev", help="<prefix>-<profile> of the deployment")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    mlflow = commands.add_parser("ui", help="open MLflow's UI by a presigned address")
    mlflow.add_argument("--print", action="store_true", help="print the address instead of opening it")
    mlflow.set_defaults(run=ui)
    register = commands.add_parser("register", help="register a prompt: the packaged one, or a file")
    register.add_argument(
        "file", nargs="?", type=Path, help="file with the prompt; by default, the packaged prompt"
    )
    register.add_argument("--message", default="", help="description of what this version changes")
    register.set_defaults(run=register_prompt)
    promote = commands.add_parser("promote", help="make a version serve, without asking the gate")
    promote.add_argument("version")
    promote.add_argument("--reason", required=True, help="why the gate is not asked; this is recorded")
    promote.set_defaults(run=promote_prompt)
    rollback = commands.add_parser(
        "rollback", help="make the version serve again that served before the last promotion"
    )
    rollback.add_argument("--reason", default="rolled back by the operator")
    rollback.set_defaults(run=rollback_prompt)
    history = commands.add_parser("history", help="list versions of the prompt, and who promoted which")
    history.set_defaults(run=show_history)
    check = commands.add_parser("check", help="check a dataset of golden cases and name every bad row")
    check.add_argument(
        "file", nargs="?", type=Path, help="file with the cases; by default, the shipped golden cases"
    )
    check.set_defaults(run=check_dataset)
    evaluate = commands.add_parser(
        "evaluate",
        help="compare a candidate with production on the same cases, and promote it if it is better",
    )
    evaluate.add_argument(
        "--candidate", default="latest", help="prompt version, `latest`, or a file (which cannot be promoted)"
    )
    evaluate.add_argument("--model", default="", help="model id, to compare with production's")
    evaluate.add_argument(
        "--guardrails", type=Path, help="file with guardrail settings, to compare with production's"
    )
    evaluate.add_argument(
        "--dataset", type=Path, help="JSONL file of cases; by default, the shipped golden cases"
    )
    evaluate.add_argument(
        "--without-reviewed",
        action="store_true",
        help=(
            "leave out the cases that people corrected in review and those of closed coverage gaps, which are "
            "otherwise added to the golden cases"
        ),
    )
    evaluate.add_argument("--dry-run", action="store_true", help="decide and record, but promote nothing")
    evaluate.set_defaults(run=run_gate)
    _add_measurements(commands)
    return parser


def _add_measurements(commands: Any) -> None:
    """Add the commands that measure and decide nothing."""
    experiment = commands.add_parser(
        "experiment", help="compare variants over a dataset, with LangChain's steps traced"
    )
    experiment.add_argument(
        "--prompt", action="append", default=[], help="prompt version or file; repeatable"
    )
    experiment.add_argument("--model", action="append", default=[], help="model id; repeatable")
    experiment.add_argument("--temperature", action="append", default=[], type=float, help="repeatable")
    experiment.add_argument(
        "--documents",
        action="append",
        default=[],
        type=int,
        help="number of documents that retrieval returns; repeatable",
    )
    experiment.add_argument(
        "--dataset", type=Path, help="JSONL file of cases; by default, the shipped golden cases"
    )
    experiment.add_argument(
        "--cases",
        type=int,
        default=0,
        help="number of cases of each kind, from the first on; by default, all",
    )
    experiment.set_defaults(run=run_experiment)
    bedrock = commands.add_parser(
        "bedrock", help="have Bedrock judge what serves in an evaluation job, beside our judges"
    )
    bedrock.add_argument(
        "--dataset", type=Path, help="JSONL file of cases; by default, the shipped golden cases"
    )
    bedrock.set_defaults(run=run_bedrock)
    agreement = commands.add_parser(
        "agreement", help="measure Cohen's kappa between the judge and people's labels"
    )
    agreement.add_argument(
        "file", nargs="?", type=Path, help="reviewed cases; by default, the shipped labelled ones"
    )
    agreement.set_defaults(run=run_agreement)


def ui(options: argparse.Namespace, deployment: Deployment) -> None:
    import boto3

    arn, client = deployment.output("Tracking", "MlflowArn"), boto3.client("sagemaker")
    limits = {"ExpiresInSeconds": URL_SECONDS, "SessionExpirationDurationInSeconds": 43_200}
    if ":mlflow-tracking-server/" in arn:
        answer = client.create_presigned_mlflow_tracking_server_url(
            TrackingServerName=arn.rpartition("/")[2], **limits
        )
    else:
        answer = client.create_presigned_mlflow_app_url(Arn=arn, **limits)
    print(f"Good for one visit within {URL_SECONDS // 60} minutes:\n{answer['AuthorizedUrl']}")
    if not options.print:
        webbrowser.open(answer["AuthorizedUrl"])


def register_prompt(options: argparse.Namespace, deployment: Deployment) -> None:
    path: Path = options.file or PROMPT
    template = written.read(path)
    registry = _registry(deployment)
    message = options.message or ("the packaged prompt" if options.file is None else f"from {path.name}")
    made = registry.register(NAME, template, message=message)
    print(f"{NAME} version {made.version}")
    if not registry.serving_version(NAME):
        registry.promote(NAME, made.version, by=operator(), reason="the first version")
        print("It serves: there was none before it.")


def promote_prompt(options: argparse.Namespace, deployment: Deployment) -> None:
    move = _registry(deployment).promote(
        NAME, options.version, by=operator(), reason=f"without the gate: {options.reason}"
    )
    print(
        f"{NAME} version {move.to_version} serves; before it, {move.from_version or 'the packaged prompt'}."
    )


def rollback_prompt(options: argparse.Namespace, deployment: Deployment) -> None:
    move = _registry(deployment).rollback(NAME, by=operator(), reason=options.reason)
    print(f"{NAME} {f'version {move.to_version}' if move.to_version else 'as packaged'} serves again.")


def show_history(_: argparse.Namespace, deployment: Deployment) -> None:
    registry = _registry(deployment)
    serving = registry.serving_version(NAME)
    for prompt in registry.versions(NAME):
        mark = "  serves" if prompt.version == serving else ""
        print(f"version {prompt.version}: {len(prompt.template)} characters{mark}")
    for move in registry.history(NAME):
        at = datetime.fromtimestamp(move.at / 1000, UTC).isoformat(timespec="seconds")
        print(
            f"{at} {move.action} {move.from_version or 'packaged'} -> {move.to_version or 'packaged'} "
            f"by {move.by}: {move.reason}"
        )


def check_dataset(options: argparse.Namespace, _: Deployment) -> None:
    from fmops.evaluation.cases import digest
    from fmops.evaluation.datasets import golden

    cases = golden(options.file or CASES)
    kinds = Counter(case.kind for case in cases)
    print(
        f"{len(cases)} cases, version {digest(cases)}: "
        + ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    )


def run_gate(options: argparse.Namespace, deployment: Deployment) -> int:
    import boto3

    from fmops.evaluation.datasets import closed, corrected, golden
    from fmops.evaluation.promotion import judge_candidate

    cases = golden(options.dataset or CASES)
    if not options.dataset and not options.without_reviewed:
        s3, bucket = boto3.client("s3"), deployment.output("Capture", "LakeBucketName")
        reviewed, gaps = corrected(s3, bucket), closed(s3, bucket)
        print(
            f"{len(cases)} golden cases, {len(reviewed)} that people corrected in review, {len(gaps)} of closed gaps"
        )
        cases = [*cases, *reviewed, *gaps]
    setup = _setup(deployment)
    prompt = _prompt(setup, options.candidate)
    if prompt.version == setup.production().prompt.version and not options.model and not options.guardrails:
        raise EvaluationError(
            f"Version {prompt.version} serves already: register another with `make prompt FILE=...`."
        )
    candidate = setup.variant(prompt, model_id=options.model, guardrails=options.guardrails)
    outcome = judge_candidate(setup, candidate, cases, by=operator(), promote=not options.dry_run)
    for result in outcome.decision.metrics:
        print(f"  {result.verdict:10} {result.reason}")
    print(outcome.decision.summary)
    _tell_costs(
        setup, outcome.decision.candidate.seconds + outcome.decision.production.seconds, 2 * len(cases)
    )
    if outcome.move:
        print(
            f"version {outcome.move.to_version} serves; `make rollback` lets "
            f"{outcome.move.from_version or 'the packaged prompt'} serve again"
        )
    print(f"recorded in MLflow: run {outcome.run_id}")
    return 0 if outcome.decision.promote else 1


def run_experiment(options: argparse.Namespace, deployment: Deployment) -> None:
    from fmops.evaluation import experiment
    from fmops.evaluation.datasets import golden
    from fmops.evaluation.setup import EXPERIMENTS

    cases = golden(options.dataset or CASES)
    if options.cases:
        kinds: Counter[str] = Counter()
        cases = [case for case in cases if kinds.update([case.kind]) or kinds[case.kind] <= options.cases]
    setup = _setup(deployment)
    base = setup.production()
    variants = [
        replace(
            setup.variant(prompt, model_id=model),
            temperature=temperature,
            documents=documents,
            name=" ".join(
                filter(
                    None, (f"{prompt.name} {prompt.version}", model, f"t={temperature:g}", f"k={documents}")
                )
            ),
        )
        for prompt in [_prompt(setup, each) for each in options.prompt] or [base.prompt]
        for model in options.model or [""]
        for temperature in options.temperature or [base.temperature]
        for documents in options.documents or [base.documents]
    ]
    evaluator = setup.evaluator(experiment=EXPERIMENTS, autolog=True)
    evaluations = [evaluator.evaluate(variant, cases) for variant in variants]
    comparison = experiment.compare(evaluations, experiment=EXPERIMENTS)
    print(experiment.text(comparison.rows))
    _tell_costs(setup, sum(each.seconds for each in evaluations), len(cases) * len(variants))
    for problem in dict.fromkeys(problem for each in evaluations for problem in each.problems):
        print(f"missing: {problem}", file=sys.stderr)
    print(f"recorded in MLflow: experiment {EXPERIMENTS}, run {comparison.run_id}")


def run_agreement(options: argparse.Namespace, deployment: Deployment) -> None:
    from fmops.evaluation import agreement
    from fmops.evaluation.datasets import labelled
    from fmops.evaluation.setup import EXPERIMENT

    rows = labelled(options.file or LABELS)
    setup = _setup(deployment)
    found = agreement.measure(setup.judge, rows)
    print("\n".join(map(str, found)))
    print(f"recorded in MLflow: run {agreement.log(setup.judge, rows, found, experiment=EXPERIMENT)}")


def run_bedrock(options: argparse.Namespace, deployment: Deployment) -> None:
    from fmops.evaluation.bedrock_job import run
    from fmops.evaluation.datasets import golden

    cases = [case for case in golden(options.dataset or CASES) if case.expected.answer]
    setup = _setup(deployment)
    evaluation = setup.evaluator().evaluate(setup.production(), cases)
    means = run(
        evaluation,
        state_machine=deployment.output("Review", "EvaluationStateMachineArn"),
        bucket=deployment.output("Capture", "LakeBucketName"),
    )
    for name, value in means.items():
        print(f"  {name} {value:.2f}")
    print(f"recorded in MLflow beside the other scores: run {evaluation.run_id}")


def _tell_costs(setup: Setup, seconds: float, answered: int) -> None:
    saved, paid = setup.journal.saved, setup.journal.paid
    print(
        f"{60 * answered / max(seconds, 1e-9):.0f} cases per minute; answers: {paid['answers']} asked "
        f"for, {saved['answers']} kept from before; judge calls: {paid['verdicts']} made, "
        f"{saved['verdicts']} saved"
    )


def _prompt(setup: Setup, wanted: str) -> Prompt:
    if Path(wanted).is_file():
        return Prompt(NAME, Path(wanted).name, written.read(Path(wanted))).checked()
    if wanted == "latest":
        versions = setup.registry.versions(NAME)
        if not versions:
            raise PromptError(
                "The registry has no version to evaluate: `make prompt FILE=...` registers one."
            )
        return versions[0].checked()
    return setup.registry.version(NAME, wanted).checked()


def _setup(deployment: Deployment) -> Setup:
    deployment.adopt()
    from fmops.evaluation.setup import assemble

    return assemble()


def _registry(deployment: Deployment) -> PromptRegistry:
    from fmops.evaluation.registry import PromptRegistry

    logging.getLogger("mlflow").setLevel(logging.WARNING)  # importing MLflow sets another level
    return PromptRegistry(deployment.output("Tracking", "MlflowArn"))


if __name__ == "__main__":
    sys.exit(main())
