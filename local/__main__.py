"""The command line: `python -m local up --help`."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from pathlib import Path

from local.run.options import PORTS
from local.run.proxies import bypass

if __name__ == "__main__":
    # Until there is something to stop, Ctrl-C just ends the process, without a traceback of the
    # imports under way.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


LOWEST, HIGHEST = 1024, 65_526
"""Port bases whose ten ports exist, and that need no privilege."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m local", description="Run the synthesized stacks without an AWS account."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser(
        "up", help="deploy into a local AWS, start the assistant, seed and tour it, serve until Ctrl-C"
    )
    up.add_argument("--profile", default="dev", help="profile of cdk.json (default: dev)")
    up.add_argument(
        "--once", action="store_true", help="stop after the report; exit code 0 only if the tour held"
    )
    up.add_argument(
        "--rehearse",
        action="store_true",
        help="also fail if a role has a permission that nothing used and local/aws/iam/unused.yaml does not explain",
    )
    up.add_argument(
        "--context",
        action="append",
        default=[],
        type=_pair,
        metavar="KEY=VALUE",
        help="CDK context, repeatable",
    )
    up.add_argument(
        "--port-base",
        type=_port_base,
        metavar="N",
        help="use ports N to N+9 instead of the usual ones: "
        + ", ".join(f"N+{offset} for {usual}" for usual, offset in PORTS.values()),
    )
    up.add_argument(
        "--directory",
        type=Path,
        default=Path("build/local"),
        help="folder of the run's databases, logs and spools; one run at a time (default: build/local)",
    )
    up.add_argument(
        "--gateway",
        action="store_true",
        help="also start MLflow's AI gateway for the assistant's models, so that MLflow's own prompt page works",
    )
    up.add_argument(
        "--then",
        default="",
        metavar="COMMAND",
        help="command to run after the report, with the environment of the local AWS; it must succeed",
    )
    up.add_argument("--region", default="us-east-1", help="region of the local AWS (default: us-east-1)")
    options = parser.parse_args(arguments)
    bypass(os.environ)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    from local.run.options import Options
    from local.run.up import main as run

    return run(
        Options(
            profile=options.profile,
            once=options.once,
            rehearse=options.rehearse,
            port_base=options.port_base,
            region=options.region,
            context=dict(options.context),
            then=options.then,
            gateway=options.gateway,
            directory=options.directory,
        )
    )


def _port_base(text: str) -> int:
    if not text.isdecimal() or not LOWEST <= int(text) <= HIGHEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {LOWEST} to {HIGHEST}")
    return int(text)


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


if __name__ == "__main__":
    sys.exit(main())
