"""Step Functions: moto's interpreter really executes, and each task calls AWS under the state machine's
role.
"""

from __future__ import annotations

import sys
import uuid
from typing import Any

from botocore.config import Config
from moto.core.config import default_user_config

from local.aws.kernel.api import Context, NotImplementedHere, Params, operation
from local.aws.kernel.cloud import Cloud, install_routes

CLIENT_FACTORY = "boto_client_for"
INTERPRETER = "moto.stepfunctions.parser"
# Tasks convert parameters themselves, and a state machine defines its own retries.
CONFIG = Config(parameter_validation=False, retries={"total_max_attempts": 1}, read_timeout=900)


def _recased(value: Any, shape: Any, *, to_service: bool) -> Any:
    """Change the case of member names: state machines capitalize each, as in `JobName`, even for services that
    call it `jobName`."""
    if shape.type_name == "list" and isinstance(value, list):
        return [_recased(each, shape.member, to_service=to_service) for each in value]
    if shape.type_name != "structure" or not isinstance(value, dict):
        return value
    members = {name[0].upper() + name[1:]: name for name in shape.members}
    names = members if to_service else {name: capital for capital, name in members.items()}
    return {
        names.get(key, key): _recased(each, shape.members[members.get(key, key)], to_service=to_service)
        if members.get(key, key) in shape.members
        else each
        for key, each in value.items()
    }


def _recase_sdk_tasks() -> None:
    """Make moto's interpreter convert the names of aws-sdk tasks, which it leaves unchanged."""
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
        state_task_service_aws_sdk as sdk,
    )

    def evaluate(
        self: Any, env: Any, resource_runtime_part: Any, normalised_parameters: Any, state_credentials: Any
    ) -> None:
        service, action = self._get_boto_service_name(), self._get_boto_service_action()
        client = sdk.boto_client_for(  # type: ignore[attr-defined]
            service=service, region=resource_runtime_part.region, state_credentials=state_credentials
        )
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[action])
        asked = _recased(normalised_parameters, model.input_shape, to_service=True)
        answer = getattr(client, action)(**asked) or {}
        answer.pop("ResponseMetadata", None)
        env.stack.append(_recased(answer, model.output_shape, to_service=False) if answer else answer)

    sdk.StateTaskServiceAwsSdk._eval_service_task = evaluate  # type: ignore[method-assign]


def _machine_of(cloud: Cloud, role_arn: str) -> str | None:
    """The state machine of a role: the engine tells a task's role, and not whose it is."""
    from moto.stepfunctions.responses import get_backend

    machines = get_backend(cloud.account, cloud.region).state_machines
    return next((machine.arn for machine in machines if machine.roleArn == role_arn), None)


@install_routes
def _execute(cloud: Cloud) -> None:
    default_user_config["stepfunctions"]["execute_state_machine"] = True

    import moto.stepfunctions.parser.models  # noqa: F401 - loads what is patched below

    def client_for(region: str, service: str, state_credentials: Any = None) -> Any:
        if state_credentials is None:
            raise LookupError(f"a task that calls {service} has no role")
        role = cloud.assume(
            state_credentials.role_arn,
            "states.amazonaws.com",
            session="states",
            source_arn=_machine_of(cloud, state_credentials.role_arn),
        )
        if region != cloud.region:
            raise NotImplementedHere(f"a task in {region}: the local AWS is {cloud.region}")
        return cloud.client(service, role=role, config=CONFIG)

    _recase_sdk_tasks()
    for name, module in list(sys.modules.items()):
        if name.startswith(INTERPRETER) and hasattr(module, CLIENT_FACTORY):
            setattr(module, CLIENT_FACTORY, client_for)


@operation("stepfunctions", "StartExecution")
def start_execution(params: Params, context: Context) -> Params:
    """Start an execution with moto, with the name that Step Functions generates if there is none; otherwise all
    unnamed ones would be the same."""
    from moto.stepfunctions.parser.models import stepfunctions_parser_backends

    backend = stepfunctions_parser_backends[context.account][context.region]
    execution = backend.start_execution(
        params["stateMachineArn"], params.get("name") or str(uuid.uuid4()), params.get("input", "{}")
    )
    return {"executionArn": execution.execution_arn, "startDate": execution.start_date}
