"""`python -m local up`: from the CDK app to an assistant that answers, without an AWS account."""

from __future__ import annotations

import errno
import importlib
import importlib.util
import os
import signal
import subprocess
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from local.aws.iam.permissions import Permissions, compare, reviewed
from local.aws.kernel.credentials import ADMIN_ACCESS_KEY, ADMIN_SECRET_KEY
from local.aws.kernel.ports import PortInUseError, check_ports
from local.aws.server import LocalAws
from local.processes.garbage import made_to_stay
from local.processes.process import ProcessError
from local.run import gateway
from local.run.containers import UnresolvedError
from local.run.deploy import DeployError, Deployment, deploy
from local.run.folder import FolderError, explained, held
from local.run.options import Options
from local.run.progress import Progress, terminal
from local.run.report import Report, Section
from local.run.runner import Runner
from local.run.serving import serve
from local.run.sign_in import allow_sign_in_at
from local.run.standins import unreviewed
from local.run.synthesis import SynthesisError, synthesize

FIREHOSE_SECONDS = 2.0
PROMPT_PAGE = "{mlflow}: Model training, an experiment, New run, using Prompt Engineering"
NO_PROMETHEUS = (
    "not on PATH, so dashboards are not drawn and alert rules not evaluated: apt-get install prometheus,"
    " or the binary of prometheus.io; the latest samples are at /_local/metrics"
)
LOG_WIDTH = 140
"""Columns of tables when the output goes to a file or a CI log."""
SERVES = "Assistant"
"""Id of the stack with the containers."""
REPORT = "report.html"
"""Name of the report in the run's folder."""
STANDINS, UNUSED = "local/run/standins.yaml", "local/aws/iam/unused.yaml"
EXPECTED_FAILURES = (
    FolderError,
    PortInUseError,
    SynthesisError,
    DeployError,
    ProcessError,
    UnresolvedError,
    LookupError,
)


def up(options: Options, console: Console) -> int:
    """Run until Ctrl-C or, with `once`, until the report. The exit code is 0 only if the tour held."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    path = options.directory / REPORT
    progress = Progress(console, Report(f"Local run of {options.profile}", serves=not options.once), path)
    try:
        with held(options.directory):
            path.unlink(missing_ok=True)  # that of an earlier run
            return _held(options, progress)
    except KeyboardInterrupt:
        progress.say("stopping")
        return 130 if options.once else 0
    except EXPECTED_FAILURES as error:
        progress.stop(explained(error, options.directory) or str(error))
        return 1
    except OSError as error:
        sentence = explained(error, options.directory)
        if error.errno == errno.EADDRINUSE:
            sentence = (
                f"a port was taken while the run started ({error}): run this again, or give --port-base"
            )
        if sentence:
            progress.stop(sentence)
            return 1
        raise


def _held(options: Options, progress: Progress) -> int:
    """Run while the folder is held; however the run ends, its processes end with it."""
    cloud = LocalAws(
        port=options.port("aws"),
        region=options.region,
        directory=options.directory,
        run_servers=True,
        deliver_within=FIREHOSE_SECONDS,
        mlflow_port=options.port("mlflow"),
        prometheus_port=options.port("prometheus"),
        gateway_port=options.port("gateway") if options.gateway else None,
    )
    runner = Runner(cloud, api_port=options.port("api"))
    try:
        return _run(options, progress, cloud, runner)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave processes behind
        with progress.console.status("stopping everything"):
            runner.stop()
            cloud.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _run(options: Options, progress: Progress, cloud: LocalAws, runner: Runner) -> int:
    if options.gateway:
        gateway.check_installed()
    check_ports(options.needed_ports(), "--port-base")
    pool = ThreadPoolExecutor(3)
    with made_to_stay():
        deployment, detectors, started = _deploy(options, progress, cloud, pool, runner)
    use_as_environment(cloud)
    with progress.step("start the containers"):
        started.result()
    allow_sign_in_at(cloud, deployment.outputs.get("Identity", {}), runner.base_url())
    prompt_page = _start_gateway(cloud, runner)
    held = _demonstrate(options, progress, cloud, runner, deployment, detectors)
    if prompt_page:
        with progress.step("wait until the AI gateway is ready"):
            prompt_page.wait()
    with progress.step("addresses") as section:
        _where(cloud, runner, deployment, section)
    with progress.step("permissions", f"Correct the roles in stacks/, or read {UNUSED}") as section:
        report_permissions(cloud, options, section)
    _then(options, progress, runner.base_url())
    if options.once:
        progress.conclude()
        return 1 if held is False or any(progress.report.problems()) else 0
    progress.conclude(f"Open {runner.base_url()} and sign in; Ctrl-C stops the run.")
    serve(runner, progress)
    return 0


def _deploy(
    options: Options, progress: Progress, cloud: LocalAws, pool: ThreadPoolExecutor, runner: Runner
) -> tuple[Deployment, Future[None], Future[None]]:
    """Deploy the stacks, and return them with the detectors, which are still loading, and the containers, which are
    still starting: they are started while the stacks after theirs are deployed."""
    assembly = cloud.directory / "cdk.out"
    synth = pool.submit(synthesize, assembly, context=options.synth_context(), reuse=True)
    with progress.step("start the local AWS"):
        cloud.start()
    detectors = pool.submit(_load_detectors)
    with progress.step("synthesize the stacks") as section:
        if synth.result():
            section.found = "nothing that synthesis reads has changed since the last run"
    with progress.step("deploy", f"Read {STANDINS}") as section:
        table = Table(title="Stacks")
        table.add_column("stack")
        table.add_column("seconds", justify="right")

        starting: list[Future[None]] = []

        def tell(name: str, seconds: float) -> None:
            table.add_row(name, f"{seconds:.1f}")
            progress.tell(f"deploy: {name} is there")
            if name.endswith(f"-{SERVES}"):
                starting.append(pool.submit(runner.start))

        deployment = deploy(cloud, assembly, progress=tell)
        section.table(table)
        _report_stand_ins(deployment, section)
    return deployment, detectors, starting[0] if starting else pool.submit(runner.start)


def _demonstrate(
    options: Options,
    progress: Progress,
    cloud: LocalAws,
    runner: Runner,
    deployment: Deployment,
    detectors: Future[None],
) -> Any:
    """Let the demo seed the deployment and send its tour, and return whether everything held."""
    from local.aws.services.firehose import DeliveryStreams

    logs = options.directory / "logs"
    with progress.step("seed the demo's users and claims") as section:
        seeded = _call("demo.seed", "main", logs, section, deployment.outputs)
    with progress.step("wait until the assistant is ready"):
        runner.wait_ready()
    with progress.step("wait until the detectors are loaded"):
        detectors.result()
    return _call(
        "demo.guide",
        "run",
        logs,
        None,
        base_url=runner.base_url(),
        outputs=deployment.outputs,
        directory=seeded,
        settle=cloud.state(DeliveryStreams).flush,
        progress=progress,
        logs=str(logs),
    )


def _start_gateway(cloud: LocalAws, runner: Runner) -> gateway.Gateway | None:
    """Start the gateway in the background: nobody opens MLflow's prompt page before the tour ends."""
    if cloud.gateway_port is None:
        return None
    started = gateway.Gateway(cloud, cloud.gateway_port)
    cloud.on_stop(started.stop)
    started.start(gateway.models(runner))
    return started


def _then(options: Options, progress: Progress, base_url: str) -> None:
    """Run the command from the options in this process's environment, which points at the local AWS, with the
    assistant's address as ``FMOPS_ASSISTANT_URL``."""
    if not options.then:
        return
    os.environ["FMOPS_ASSISTANT_URL"] = base_url
    progress.say(f"run {options.then}")
    with progress.step(options.then, "Its output is above") as section, progress.paused():
        code = subprocess.run(options.then, shell=True, check=False).returncode  # noqa: S602 - the user's own command
        if code:
            section.fail(f"it ended with exit code {code}")


def _load_detectors() -> None:
    """Load the detectors while synth and deployment run; otherwise the first request would wait for the
    models.
    """
    from local.detectors import embeddings, misconduct, pii, prompt_attack, toxicity

    text = "Call +1 212 555 0123 or 030 1234567 on 1 March, and write to jane@example.com about account 12345678."
    for detect in (pii.find, toxicity.score, misconduct.score, prompt_attack.score):
        detect(text)
    embeddings.embed([text])


def use_as_environment(cloud: LocalAws) -> None:
    """Point this process's boto3, which seeds and tours, at the local AWS and at nothing else."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(
        AWS_ENDPOINT_URL=cloud.endpoint,
        AWS_ACCESS_KEY_ID=ADMIN_ACCESS_KEY,
        AWS_SECRET_ACCESS_KEY=ADMIN_SECRET_KEY,
        AWS_DEFAULT_REGION=cloud.region,
        AWS_REGION=cloud.region,
        SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT=cloud.endpoint,
    )


def _call(
    module: str, function: str, logs: Path, section: Section | None, /, *arguments: Any, **keywords: Any
) -> Any:
    """Call a function of the demo, if the demo exists (a fork may have removed it)."""
    if not importlib.util.find_spec(module.split(".")[0]) or not importlib.util.find_spec(module):
        if section:
            section.notes.append(f"{module} does not exist, so there is neither a seed nor a tour")
        return None
    called: Callable[..., Any] | None = getattr(importlib.import_module(module), function, None)
    if called is None:
        raise LookupError(f"{module} has no function {function}, which `python -m local up` calls")
    try:
        return called(*arguments, **keywords)
    except Exception as error:
        # A wrong key or index is a LookupError too, but a fault of the demo, whose message says nothing alone.
        if isinstance(error, EXPECTED_FAILURES) and not isinstance(error, (KeyError, IndexError)):
            raise
        path = logs / f"{module}.log"
        path.write_text(traceback.format_exc())
        raise ProcessError(f"{module} failed: {type(error).__name__}: {error}\n    log: {path}") from error


def _report_stand_ins(deployment: Deployment, section: Section) -> None:
    report = deployment.report
    section.found = (
        f"{len(deployment.stack_names)} stacks, {len(report.real)} resources,"
        f" {len(report.stand_ins)} stand-ins"
    )
    section.say(
        f"{STANDINS} has the reasons for the stand-ins; not applied:"
        f" {', '.join(sorted(report.dropped)) or 'nothing'}"
    )
    if unknown := unreviewed(report.stand_in_types):
        raise DeployError(f"stand-ins without a reviewed reason in {STANDINS}: {', '.join(unknown)}")


def report_permissions(cloud: LocalAws, options: Options, section: Section) -> None:
    """Report the calls that the roles' policies refused and, if asked to, unused permissions that
    nobody has reviewed."""
    permissions = cloud.state(Permissions)
    denied = [f"{denial} ({count} times)" for denial, count in permissions.denials.items()]
    unused = permissions.unused()
    unreviewed = compare(unused, reviewed(), permissions.granted())
    section.found = f"{permissions.roles} roles enforced, {len(denied)} kinds of calls denied"
    section.say(f"{len(unused)} grants not used, {len(unreviewed)} of them not as reviewed in {UNUSED}")
    for problem in (*denied, *(unreviewed if options.rehearse else ())):
        section.fail(problem)


def _where(cloud: LocalAws, runner: Runner, deployment: Deployment, section: Section) -> None:
    from local.aws.services.aps import Metrics
    from local.aws.services.firehose import DeliveryStreams
    from local.aws.services.sagemaker.mlflow import MlflowApps
    from local.aws.services.xray.segments import Traces

    streams = cloud.state(DeliveryStreams)
    streams.flush()
    objects = sum(stream.delivered_objects for stream in streams.by_name.values())
    section.notes += [
        f"Firehose delivered not everything: {stream.last_error}"
        for stream in streams.by_name.values()
        if stream.last_error
    ]
    metrics, mlflow = cloud.state(Metrics), cloud.state(MlflowApps)
    bucket = deployment.outputs.get("Capture", {}).get("LakeBucketName", "?")
    rows = {
        "assistant": _link(runner.base_url()),
        "local AWS": f"{cloud.endpoint} (AWS_ENDPOINT_URL; any access key of the runner:"
        f" {ADMIN_ACCESS_KEY}/{ADMIN_SECRET_KEY})",
        "MLflow": _link(mlflow.url),
        **({"prompt page": PROMPT_PAGE.format(mlflow=mlflow.url)} if cloud.gateway_port else {}),
        "Prometheus": _link(metrics.url) if metrics.server else NO_PROMETHEUS,
        "captured": f"{objects} objects in s3://{bucket}/",
        "traces": f"{len(cloud.state(Traces).snapshot())} in X-Ray (BatchGetTraces, GetTraceSummaries)",
        "logs": str(cloud.directory / "logs"),
    }
    table = Table(title="Where everything is")
    table.add_column("what")
    table.add_column("where")
    for name, value in rows.items():
        table.add_row(name, Text(value) if isinstance(value, str) else value)
    section.table(table)
    section.found = f"{objects} objects captured; MLflow, metrics, traces and logs are in the report"


def _link(url: str) -> Text:
    return Text(url, style=f"link {url}")


def main(options: Options) -> int:
    return up(options, terminal())
