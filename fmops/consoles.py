"""Addresses in the AWS console, by region."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import botocore.session

HOSTS: Mapping[str, str] = {
    "aws": "{region}.console.aws.amazon.com",
    "aws-cn": "{region}.console.amazonaws.cn",
    "aws-us-gov": "{region}.console.amazonaws-us-gov.com",
    "aws-eusc": "{region}.console.amazonaws-eusc.eu",
}
"""Hosts of the console by partition."""


def console(region: str, service: str, place: str) -> str:
    """Return the address of a place in a service's console; empty for a partition whose console is not known."""
    host = HOSTS.get(_partition(region), "").format(region=region)
    return f"https://{host}/{service}/home?region={region}#{place}" if host else ""


@cache
def _partition(region: str) -> str:
    return str(botocore.session.get_session().get_partition_for_region(region))
