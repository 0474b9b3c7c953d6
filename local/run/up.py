"""`python -m local up`: from the CDK app to an assistant that answers, without an AWS account."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from local.aws.iam.permissions import Permissions, compare, reviewed
from local.aws.kernel.credentials import ADMIN_ACCESS_KEY, ADMIN_SECRET_KEY
from local.aws.kernel.ports import PortInUseError, check_ports
from local.aws.server import LocalAws
from local.processes.process import ProcessError
from local.run import gateway
from local.run.containers import UnresolvedError
from local.run.deploy import DeployError, Deployment, deploy, synthesize
from local.run.folder import FolderError, explained, held
from local.run.options import DIRECTORY, Options
from local.run.runner import Runner
from local.run.sign_in import allow_sign_in_at
from local.run.standins import unreviewed

FIREHOSE_SECONDS = 2.0
PROMPT_PAGE = "{mlflow}: Model training, an experiment, New run, using Prompt Engineering"
NO_PROMETHEUS = (
    "not on PATH, so dashboards are not drawn and alert rules not evaluated: apt-get install prometheus,"
    " or the binary of prometheus.io; the latest samples are at /_local/metrics"
)
LOG_WIDTH = 140
"""Columns of the report when the output goes to a file or a CI log."""
EXPECTED_FAILURES = (FolderError, PortInUseError, DeployError, ProcessError, UnresolvedError, LookupError)


class Steps:
    """Prints each step when it ends, with its duration and the time since the start."""

    def __init__(self, console: Console, directory: Path = DIRECTORY) -> None:
        self.console = console
        self.directory = directory
        self.seconds: dict[str, float] = {}
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        with self.console.status(f"{escape(name)} …"):
            yield
        self.done(name, time.monotonic() - began)

    def done(self, name: str, seconds: float) -> None:
        self.seconds[name] = seconds
        self.console.print(f"[green]✓[/] {escape(name)} [dim]{seconds:.1f} s (at {self.elapsed:.1f} s)[/]")


def up(options: Options, console: Console) -> int:
    """Run until Ctrl-C or, with `once`, until the report. The exit code is 0 only if the tour held."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with held(options.directory):
            return _held(options, console)
    except KeyboardInterrupt:
        console.print("\nstopping")
        return 130 if options.once else 0
    except EXPECTED_FAILURES as error:
        console.print("[red]✗[/]", Text(explained(error, options.directory) or str(error)), soft_wrap=True)
        return 1
    except OSError as error:
        if sentence := explained(error, options.directory):
            console.print("[red]✗[/]", Text(sentence), soft_wrap=True)
            return 1
        raise


def _held(options: Options, console: Console) -> int:
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
        return _run(options, Steps(console, options.directory), cloud, runner)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave processes behind
        with console.status("stopping everything"):
            runner.stop()
            cloud.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _run(options: Options, steps: Steps, cloud: LocalAws, runner: Runner) -> int:
    from local.aws.services.firehose import DeliveryStreams

    if options.gateway:
        gateway.check_installed()
    check_ports(options.needed_ports(), "--port-base")
    assembly = cloud.directory / "cdk.out"
    pool = ThreadPoolExecutor(2)
    synth = pool.submit(synthesize, assembly, context=options.synth_context())
    with steps.step("start the local AWS"):
        cloud.start()
    detectors = pool.submit(_load_detectors)
    with steps.step("synthesize the stacks"):
        synth.result()
    deployment = deploy(cloud, assembly, progress=lambda name, seconds: steps.done(f"deploy {name}", seconds))
    _report_stand_ins(deployment, steps.console)
    use_as_environment(cloud)
    with steps.step("start the containers"):
        runner.start()
    allow_sign_in_at(cloud, deployment.outputs.get("Identity", {}), runner.base_url())
    prompt_page = _start_gateway(cloud, runner)
    directory = _call("demo.seed", "main", steps, "seed the demo's users and claims", deployment.outputs)
    with steps.step("wait until the assistant is ready"):
        runner.wait_ready()
    with steps.step("wait until the detectors are loaded"):
        detectors.result()
    held = _call(
        "demo.guide",
        "run",
        steps,
        "tour",
        base_url=runner.base_url(),
        outputs=deployment.outputs,
        directory=directory,
        settle=cloud.state(DeliveryStreams).flush,
        console=steps.console,
    )
    if prompt_page:
        with steps.step("wait until the AI gateway is ready"):
            prompt_page.wait()
    _where(cloud, runner, deployment, steps)
    permitted = report_permissions(cloud, options, steps.console)
    ran = _then(options, steps, runner.base_url())
    if options.once:
        return 0 if permitted and ran and held in (True, None) else 1
    steps.console.print("[bold]Serving until Ctrl-C.[/]")
    while True:
        time.sleep(1)
        runner.check_alive()


def _start_gateway(cloud: LocalAws, runner: Runner) -> gateway.Gateway | None:
    """Start the gateway in the background: nobody opens MLflow's prompt page before the tour ends."""
    if cloud.gateway_port is None:
        return None
    started = gateway.Gateway(cloud, cloud.gateway_port)
    cloud.on_stop(started.stop)
    started.start(gateway.models(runner))
    return started


def _then(options: Options, steps: Steps, base_url: str) -> bool:
    """Run the command from the options in this process's environment, which points at the local AWS, with the
    assistant's address as ``FMOPS_ASSISTANT_URL``."""
    if not options.then:
        return True
    os.environ["FMOPS_ASSISTANT_URL"] = base_url
    with steps.step(options.then):
        code = subprocess.run(options.then, shell=True, check=False).returncode  # noqa: S602 - the user's own command
    if code:
        steps.console.print(f"[red]{escape(options.then)} ended with exit code {code}[/]")
    return code == 0


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


def _call(module: str, function: str, steps: Steps, label: str, *arguments: Any, **keywords: Any) -> Any:
    """Call a function of the demo, if the demo exists (a fork may have removed it)."""
    if not importlib.util.find_spec(module.split(".")[0]) or not importlib.util.find_spec(module):
        steps.console.print(f"[yellow]-[/] {label}: {module} does not exist")
        return None
    called: Callable[..., Any] | None = getattr(importlib.import_module(module), function, None)
    if called is None:
        raise LookupError(f"{module} has no function {function}, which `python -m local up` calls")
    began = time.monotonic()
    try:
        result = called(*arguments, **keywords)
    except (KeyboardInterrupt, *EXPECTED_FAILURES):
        raise
    except Exception as error:
        path = steps.directory / "logs" / f"{module}.log"
        path.write_text(traceback.format_exc())
        raise ProcessError(f"{label} failed: {type(error).__name__}: {error}\n    log: {path}") from error
    steps.done(label, time.monotonic() - began)
    return result


def _report_stand_ins(deployment: Deployment, console: Console) -> None:
    report = deployment.report
    console.print(
        f"  {len(report.real)} resources created, {len(report.stand_ins)} stand-ins"
        " [dim](local/run/standins.yaml has the reasons; not applied:"
        f" {', '.join(sorted(report.dropped)) or 'nothing'})[/]",
        highlight=False,
    )
    if unknown := unreviewed(report.stand_in_types):
        raise DeployError(
            f"stand-ins without a reviewed reason in local/run/standins.yaml: {', '.join(unknown)}"
        )


def report_permissions(cloud: LocalAws, options: Options, console: Console) -> bool:
    """Report the calls that the roles' policies refused and, if asked to, unused permissions that
    nobody has reviewed."""
    permissions = cloud.state(Permissions)
    denied = [f"{denial} ({count} times)" for denial, count in permissions.denials.items()]
    unused = permissions.unused()
    unreviewed = compare(unused, reviewed(), permissions.granted())
    console.print(
        f"  [bold]permissions[/] of {permissions.roles} roles enforced: {len(denied)} kinds of calls denied; "
        f"{len(unused)} grants not used, {len(unreviewed)} of them not as reviewed in local/aws/iam/unused.yaml",
        highlight=False,
        soft_wrap=True,
    )
    problems = [*denied, *(unreviewed if options.rehearse else ())]
    for problem in problems:
        console.print(f"    [red]{escape(problem)}[/]", soft_wrap=True)
    return not problems


def _where(cloud: LocalAws, runner: Runner, deployment: Deployment, steps: Steps) -> None:
    from local.aws.services.aps import Metrics
    from local.aws.services.firehose import DeliveryStreams
    from local.aws.services.sagemaker.mlflow import MlflowApps
    from local.aws.services.xray.segments import Traces

    streams = cloud.state(DeliveryStreams)
    streams.flush()
    objects = sum(stream.delivered_objects for stream in streams.by_name.values())
    failures = [stream.last_error for stream in streams.by_name.values() if stream.last_error]
    metrics, mlflow = cloud.state(Metrics), cloud.state(MlflowApps)
    bucket = deployment.outputs.get("Capture", {}).get("LakeBucketName", "?")
    rows = {
        "assistant": runner.base_url(),
        "local AWS": f"{cloud.endpoint}  (AWS_ENDPOINT_URL; any access key of the runner:"
        f" {ADMIN_ACCESS_KEY}/{ADMIN_SECRET_KEY})",
        "MLflow": f"{mlflow.url}{'' if mlflow.is_up() else '  (still starting in the background)'}",
        **({"prompt page": PROMPT_PAGE.format(mlflow=mlflow.url)} if cloud.gateway_port else {}),
        "Prometheus": metrics.url if metrics.server else NO_PROMETHEUS,
        "captured": f"{objects} objects in s3://{bucket}/{'  FAILED: ' + failures[0] if failures else ''}",
        "traces": f"{len(cloud.state(Traces).snapshot())} in X-Ray (BatchGetTraces, GetTraceSummaries)",
        "logs": str(cloud.directory / "logs"),
    }
    for name, value in rows.items():
        steps.console.print(f"  [bold]{name:11}[/] {escape(value)}", highlight=False, soft_wrap=True)
    steps.console.print(f"[dim]{steps.elapsed:.1f} s in all[/]")


def main(options: Options) -> int:
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=LOG_WIDTH)
    return up(options, console)
