"""Step Functions: moto's interpreter executes for real, and each task calls under the state machine's role."""

from __future__ import annotations

import sys
import uuid
from typing import Any

from botocore.config import Config
from moto.core.config import default_user_config

from local.api import Context, Params, operation
from local.cloud import Cloud, install_routes

CLIENT_FACTORY = "boto_client_for"
INTERPRETER = "moto.stepfunctions.parser"
# Tasks convert parameters themselves, and a state machine says itself what is retried.
CONFIG = Config(parameter_validation=False, retries={"total_max_attempts": 1}, read_timeout=900)


@install_routes
def _execute(cloud: Cloud) -> None:
    default_user_config["stepfunctions"]["execute_state_machine"] = True

    import moto.stepfunctions.parser.models  # noqa: F401 - loads what is patched below

    def client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        if state_credentials is None:
            raise LookupError(f"a task that calls {service} has no role")
        role = cloud.assume(state_credentials.role_arn, "states.amazonaws.com", session="states")
        return cloud.session(role).client(
            service, region_name=region, endpoint_url=cloud.endpoint, config=CONFIG
        )

    for name, module in list(sys.modules.items()):
        if name.startswith(INTERPRETER) and hasattr(module, CLIENT_FACTORY):
            setattr(module, CLIENT_FACTORY, client_for)


@operation("stepfunctions", "StartExecution")
def start_execution(params: Params, context: Context) -> Params:
    """moto's, with the name that Step Functions gives to an execution that has none: else all of them are one."""
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    backend = stepfunctions_parser_backends[context.account][context.region]
    execution = backend.start_execution(
        params["stateMachineArn"], params.get("name") or str(uuid.uuid4()), params.get("input", "{}")
    )
    return {"executionArn": execution.execution_arn, "startDate": execution.start_date}
