"""A deployment in a local AWS with the demo's users in it, for checks of the deployed assistant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from demo import seed
from demo.accounts import Directory
from local.aws.kernel.ports import check_ports
from local.aws.server import LocalAws
from local.processes.garbage import made_to_stay
from local.run.deploy import Deployment, deploy
from local.run.folder import held
from local.run.options import Options
from local.run.runner import Runner
from local.run.sign_in import allow_sign_in_at
from local.run.synthesis import synthesize
from local.run.up import use_as_environment


@contextmanager
def deployed(options: Options, cloud: LocalAws, runner: Runner) -> Iterator[tuple[Deployment, Directory]]:
    """Synthesize, deploy, seed and start in the folder of the options; everything ends with the context."""
    with held(options.directory):
        check_ports(options.needed_ports(), "--port-base")
        try:
            assembly = cloud.directory / "cdk.out"
            with made_to_stay():
                cloud.start()
                synthesize(assembly, context=options.synth_context(), reuse=True)
                deployment = deploy(cloud, assembly)
            use_as_environment(cloud)
            runner.start()
            allow_sign_in_at(cloud, deployment.outputs["Identity"], runner.base_url())
            users = seed.main(deployment.outputs)
            runner.wait_ready()
            yield deployment, users
        finally:
            runner.stop()
            cloud.stop()
