"""Addresses in the AWS console, in each partition."""

from __future__ import annotations

import pytest

from fmops.consoles import console


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-central-1", "eu-central-1.console.aws.amazon.com"),
        ("cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ("us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
    ],
)
def test_an_address_follows_the_partition(region: str, host: str) -> None:
    address = console(region, "athena", "/query-editor")
    assert address == f"https://{host}/athena/home?region={region}#/query-editor"


def test_a_partition_with_an_unknown_console_gets_no_address() -> None:
    assert console("us-iso-east-1", "athena", "/query-editor") == ""
