"""Add our providers and stand-ins to moto's CloudFormation, and record which stand-ins were used."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import botocore.session
from botocore import xform_name
from moto.cloudformation import parsing
from moto.core.common_models import CloudFormationModel

from local.aws.cloudformation import standins
from local.aws.cloudformation.mapping import to_input
from local.aws.cloudformation.providers import MAX_NAME, PROVIDERS, UNFIT_IN_MOTO, Provider
from local.aws.kernel.api import ServiceError
from local.aws.kernel.cloud import Cloud


@dataclass
class Report:
    """Report of how each resource was created, by stack and logical id."""

    real: list[tuple[str, str, str]] = field(default_factory=list)
    stand_ins: list[tuple[str, str, str]] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)  # properties that no call accepts

    @property
    def stand_in_types(self) -> set[str]:
        return {resource_type for _, _, resource_type in self.stand_ins}


_cloud: Cloud
_report = Report()
_lock = threading.RLock()
_moto_class = parsing.resource_class_from_type
_moto_create: Callable[..., Any] = parsing.parse_and_create_resource


def install(cloud: Cloud) -> Report:
    """Create this cloud's stacks with our providers until it stops, and return the report, which fills as stacks
    are created.
    """
    global _cloud, _report
    with _lock:
        _cloud, _report = cloud, Report()
        parsing.resource_class_from_type = resource_class
        parsing.parse_and_create_resource = create
        cloud.on_stop(lambda: _uninstall(cloud))
        return _report


def _uninstall(cloud: Cloud) -> None:
    """Leave moto as it was, unless another cloud has taken over: a stopped cloud creates nothing."""
    with _lock:
        if _cloud is cloud:
            parsing.resource_class_from_type = _moto_class
            parsing.parse_and_create_resource = _moto_create


class Resource(CloudFormationModel):
    """A resource that an API call created, or a stand-in."""

    physical_resource_id: str
    _attribute: Callable[[str], str]

    def __init__(self, ref: str, attribute: Callable[[str], str]) -> None:
        self.physical_resource_id = ref
        self._attribute = attribute

    def is_created(self) -> bool:
        return True

    def get_cfn_attribute(self, name: str) -> str:
        return self._attribute(name)


def resource_class(resource_type: str) -> type[CloudFormationModel]:
    """Return moto's class for the type, or one of ours."""
    if (
        resource_type not in PROVIDERS
        and resource_type not in UNFIT_IN_MOTO
        and resource_type in parsing.get_model_map()
    ):
        model: type[CloudFormationModel] = _moto_class(resource_type)
        return model
    if resource_type not in _classes:
        _classes[resource_type] = _make_class(resource_type)
    return _classes[resource_type]


_classes: dict[str, type[CloudFormationModel]] = {}


def _make_class(resource_type: str) -> type[CloudFormationModel]:
    provider = PROVIDERS.get(resource_type)

    class Typed(Resource):
        @staticmethod
        def cloudformation_type() -> str:
            return resource_type

        @staticmethod
        def cloudformation_name_type() -> str:
            return ""

        @classmethod
        def has_cfn_attr(cls, attr: str) -> bool:
            if provider:
                return attr in provider.attributes
            known = standins.attribute_names(resource_type)
            return resource_type.startswith("Custom::") or attr in known

        @classmethod
        def create_from_cloudformation_json(
            cls,
            resource_name: str,
            cloudformation_json: dict[str, Any],
            account_id: str,
            region_name: str,
            **_: Any,
        ) -> Resource:
            properties = cloudformation_json.get("Properties") or {}
            if provider is None:
                return _stand_in(cls, resource_type, properties, resource_name, account_id, region_name)
            return _provision(cls, provider, resource_type, properties, resource_name)

        @classmethod
        def delete_from_cloudformation_json(cls, *_: Any) -> None:
            return None

    Typed.__name__ = re.sub(r"\W+", "", resource_type)
    return Typed


def _stand_in(
    cls: type[Resource], resource_type: str, properties: dict[str, Any], name: str, account: str, region: str
) -> Resource:
    return cls(
        standins.reference(resource_type, properties, name),
        lambda attribute: standins.attribute(resource_type, attribute, name, region, account),
    )


def _provision(
    cls: type[Resource], provider: Provider, resource_type: str, properties: dict[str, Any], name: str
) -> Resource:
    model = (
        botocore.session.get_session().get_service_model(provider.service).operation_model(provider.operation)
    )
    prepared = provider.prepare(properties) if provider.prepare else properties
    dropped: list[str] = []
    params = to_input(model.input_shape, prepared, resource_type, dropped)
    if provider.name:
        generated = name[-MAX_NAME:].lstrip("-")
        params.setdefault(provider.name, generated.lower() if provider.lower else generated)
    _report.dropped.update(dropped)
    client = _cloud.client(provider.service)
    answer = getattr(client, xform_name(provider.operation))(**params)
    if provider.after:
        provider.after(_cloud, properties, answer)
    values = {
        "a": answer,
        "p": params,
        "region": _cloud.region,
        "account": _cloud.account,
        "endpoint": _cloud.endpoint,
    }

    def attribute(attribute_name: str) -> str:
        if attribute_name not in provider.attributes:
            raise ValueError(f"the provider of {resource_type} has no attribute {attribute_name}")
        return provider.attributes[attribute_name].format_map(values)

    return cls(provider.ref.format_map(values), attribute)


def create(
    logical_id: str, resource_json: dict[str, Any], resources_map: Any, account_id: str, region_name: str
) -> Any:
    """Create one resource as moto does, with an error that names it and an entry in the report."""
    resource_type, stack = resource_json["Type"], resources_map["AWS::StackName"]
    _create_first(resource_json.get("DependsOn", []), resources_map)
    try:
        resource = _moto_create(
            logical_id, resource_json, resources_map, account_id=account_id, region_name=region_name
        )
    except ServiceError:
        raise  # already names the resource that this one depends on
    except Exception as error:
        raise ServiceError(
            "ValidationError", f"{stack}: {logical_id} ({resource_type}): {type(error).__name__}: {error}"
        ) from error
    if resource is None:
        return None
    if resource_type == "AWS::ElasticLoadBalancingV2::TargetGroup":  # moto's has no attributes
        full_name = resource.arn.rsplit(":", 1)[-1]
        resource.get_cfn_attribute = {
            "TargetGroupArn": resource.arn,
            "TargetGroupFullName": full_name,
        }.__getitem__
    if resource_type == "AWS::S3::Bucket":
        _configure_bucket(resource_json, resources_map, resource)
    if resource_type == "AWS::Lambda::Function":
        _keep_image(resource_json, resources_map, resource)
    if resource_type == "AWS::IAM::Role":
        _attach_managed_policies(resource_json, resources_map, resource)
    is_ours = isinstance(resource, Resource)
    kind = _report.stand_ins if is_ours and resource_type not in PROVIDERS else _report.real
    kind.append((stack, logical_id, resource_type))
    return resource


def _create_first(needed: str | list[str], resources_map: Any) -> None:
    """Create what a resource depends on. moto leaves that out for resources that it needs for a stack's exports."""
    for each in [needed] if isinstance(needed, str) else needed:
        resources_map[each]


def _configure_bucket(resource_json: dict[str, Any], resources_map: Any, bucket: Any) -> None:
    """Keep the versioning of a bucket and its notifications through EventBridge, which moto's Bucket drops."""
    properties = parsing.clean_json(resource_json, resources_map).get("Properties", {})
    if versioning := properties.get("VersioningConfiguration"):
        _cloud.client("s3").put_bucket_versioning(
            Bucket=bucket.name, VersioningConfiguration={"Status": versioning["Status"]}
        )
    if "EventBridgeConfiguration" in properties.get("NotificationConfiguration", {}):
        _cloud.client("s3").put_bucket_notification_configuration(
            Bucket=bucket.name, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )


def _keep_image(resource_json: dict[str, Any], resources_map: Any, function: Any) -> None:
    """Keep the container image of a function, which moto's Function drops."""
    properties = parsing.clean_json(resource_json, resources_map)["Properties"]
    if properties.get("PackageType") == "Image":
        function.package_type = "Image"
        function.image_config.cmd = properties.get("ImageConfig", {}).get("Command", [])


def _attach_managed_policies(resource_json: dict[str, Any], resources_map: Any, role: Any) -> None:
    """Attach ManagedPolicyArns, which moto's Role ignores. AWS's policies are known by name; customer managed
    ones are attached."""
    properties = parsing.clean_json(resource_json, resources_map).get("Properties", {})
    for arn in properties.get("ManagedPolicyArns", []):
        _cloud.aws_managed_policies.setdefault(role.arn, set()).add(arn)
        if ":iam::aws:policy/" not in arn:
            _cloud.client("iam").attach_role_policy(RoleName=role.name, PolicyArn=arn)
