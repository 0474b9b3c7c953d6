"""The detector that needs no network: what carries its own proof is found, what only looks alike is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iban, luhn

from fmops.guardrails import Category, Direction
from fmops.guardrails.detectors.base import Context
from fmops.guardrails.detectors.secrets import Secrets

DETECTOR = Secrets("secrets", None)  # type: ignore[arg-type]
CONTEXT = Context(Direction.OUTPUT, "assistant", "en", DETECTOR.categories)


def found(text: str) -> list[tuple[Any, str]]:
    (findings,) = DETECTOR.detect([text], CONTEXT)
    return [(finding.category, text[finding.begin : finding.end]) for finding in findings]


@pytest.mark.parametrize(
    ("text", "category", "value"),
    [
        ("card 4111 1111 1111 1111 please", Category.CARD_NUMBER, "4111 1111 1111 1111"),
        ("card 4111-1111-1111-1111.", Category.CARD_NUMBER, "4111-1111-1111-1111"),
        ("amex 378282246310005,", Category.CARD_NUMBER, "378282246310005"),
        ("to DE89 3704 0044 0532 0130 00 is fine", Category.IBAN, "DE89 3704 0044 0532 0130 00"),
        ("to GB29NWBK60161331926819.", Category.IBAN, "GB29NWBK60161331926819"),
        ("to de89370400440532013000", Category.IBAN, "de89370400440532013000"),
        ("SSN 536-90-4399", Category.US_SSN, "536-90-4399"),
        ("key AKIAIOSFODNN7EXAMPLE.", Category.AWS_ACCESS_KEY, "AKIAIOSFODNN7EXAMPLE"),
        ("ghp_" + "a1B2" * 9 + " works", Category.API_KEY, "ghp_" + "a1B2" * 9),
        ("use sk-proj-abcdefghij0123456789ABCD.", Category.API_KEY, "sk-proj-abcdefghij0123456789ABCD"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl_-x ok", Category.API_KEY, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl_-x"),
        ("my password is hunter2!, ok", Category.PASSWORD, "hunter2!"),
        ("api_key: 'Zx81-spectrum'", Category.PASSWORD, "Zx81-spectrum"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end", Category.PRIVATE_KEY, "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE and then it stops", Category.PRIVATE_KEY, "-----BEGIN PRIVATE KEY-----\nMIIE and then it stops"),
    ],
)  # fmt: skip
def test_found(text: str, category: Category, value: str) -> None:
    assert (category, value) in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "card 4111 1111 1111 1112",
        "to DE88 3704 0044 0532 0130 00",
        "claim C-1042 of customer CU-17 for 4,500.00 on 2026-03-04",
        "0000 0000 0000 0000",
        "my password is incorrect",
        "the secret is out",
        "SSN 000-12-3456",
        "order 1234567890123456789012",
        "the phone is 415-555-2671",
        "see https://example.com/claims/2026/03/hail-damage?page=2",
        "APPLICATIONFORM27B and ACKNOWLEDGEMENT",
    ],
)
def test_not_found(text: str) -> None:
    assert found(text) == []


@given(
    st.text("0123456789", min_size=14, max_size=14),
    st.sampled_from(["", " ", "-"]),
    st.sampled_from(["4", "5", "6"]),
)
def test_every_card_number_that_proves_itself_is_found(body: str, separator: str, prefix: str) -> None:
    digits = prefix + body
    number = digits + luhn.calc_check_digit(digits)
    written = separator.join(number[index : index + 4] for index in range(0, 16, 4))
    assert (Category.CARD_NUMBER, written) in found(f"It is {written}, thanks.")


@given(st.text("0123456789", min_size=18, max_size=18), st.booleans())
def test_every_iban_that_proves_itself_is_found(account: str, spaced: bool) -> None:
    number = "DE" + iban.calc_check_digits("DE00" + account) + account
    written = " ".join(number[index : index + 4] for index in range(0, 22, 4)) if spaced else number
    assert (Category.IBAN, written) in found(f"Pay to {written} soon.")
