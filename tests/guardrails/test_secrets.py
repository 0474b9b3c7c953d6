"""The detector that needs no network: it finds what carries its own proof, and not what only looks similar."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum import iban, luhn
from stdnum.us import itin, ssn

from fmops.guardrails import Category, Direction
from fmops.guardrails.detectors.base import Context
from fmops.guardrails.detectors.secrets import Secrets, find
from tests.guardrails.planted_numbers import NEIGHBOURS, WORDS, number

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
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl_-x ok", Category.API_KEY,
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl_-x"),
        ("my password is hunter2!, ok", Category.PASSWORD, "hunter2!"),
        ("api_key: 'Zx81-spectrum'", Category.PASSWORD, "Zx81-spectrum"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end", Category.PRIVATE_KEY,
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE and then it stops", Category.PRIVATE_KEY,
            "-----BEGIN PRIVATE KEY-----\nMIIE and then it stops"),
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


@pytest.mark.parametrize(
    ("text", "category", "value"),
    [
        ("\u5361\u53f74111 1111 1111 1111\u3002", Category.CARD_NUMBER, "4111 1111 1111 1111"),
        ("\xe94111 1111 1111 1111", Category.CARD_NUMBER, "4111 1111 1111 1111"),
        ("\u21164111111111111111", Category.CARD_NUMBER, "4111111111111111"),
        ("card_4111111111111111", Category.CARD_NUMBER, "4111111111111111"),
        ("**4111 1111 1111 1111**", Category.CARD_NUMBER, "4111 1111 1111 1111"),
        ("row 12 4111 1111 1111 1111 123 12/27", Category.CARD_NUMBER, "4111 1111 1111 1111"),
        ("\\u53614111 1111 1111 1111\\n", Category.CARD_NUMBER, "4111 1111 1111 1111"),
        ("4111&nbsp;1111&nbsp;1111&nbsp;1111", Category.CARD_NUMBER, "4111&nbsp;1111&nbsp;1111&nbsp;1111"),
        ("4lll 1111 1111 1lll", Category.CARD_NUMBER, "4lll 1111 1111 1lll"),
        ("SSN\u662f536-22-8726", Category.US_SSN, "536-22-8726"),
        ("_536-22-8726_", Category.US_SSN, "536-22-8726"),
        ("536\n22\n8726", Category.US_SSN, "536\n22\n8726"),
        ("ssn: 536228726", Category.US_SSN, "536228726"),
        ("\xe9912-70-1234", Category.US_ITIN, "912-70-1234"),
        ("\u5361DE89 3704 0044 0532 0130 00\u3002", Category.IBAN, "DE89 3704 0044 0532 0130 00"),
        ("IBANDE89370400440532013000EUR", Category.IBAN, "DE89370400440532013000"),
        ("\u5bc6AKIAIOSFODNN7EXAMPLE\u94a5", Category.AWS_ACCESS_KEY, "AKIAIOSFODNN7EXAMPLE"),
        (
            "\u5bc6sk-proj-abcdefghij0123456789ABCD\u3002",
            Category.API_KEY,
            "sk-proj-abcdefghij0123456789ABCD",
        ),
        ("glpat-abcdefghij0123456789\u5bc6", Category.API_KEY, "glpat-abcdefghij0123456789"),
        ("\u5bc6\u7801password\uff1ahunter2!", Category.PASSWORD, "hunter2!"),
        ("\u5bc6\u7801\u662fhunter2\uff01\u8c22\u8c22", Category.PASSWORD, "hunter2\uff01"),
        ('{"password":"hunter2!","user":"bob"}', Category.PASSWORD, "hunter2!"),
        ("DB_PASSWORD=hunter2!", Category.PASSWORD, "hunter2!"),
        ("| password | hunter2! |", Category.PASSWORD, "hunter2!"),
        ("**Password:** hunter2!", Category.PASSWORD, "hunter2!"),
    ],
)
def test_found_whatever_stands_beside_it(text: str, category: Category, value: str) -> None:
    assert (category, value) in found(text)


@settings(max_examples=500, deadline=None)
@given(st.randoms(use_true_random=False))
def test_every_planted_number_is_covered_and_what_surrounds_it_is_untouched(rng: random.Random) -> None:
    planted = number(rng)
    left, right = rng.choice(NEIGHBOURS), rng.choice(NEIGHBOURS)
    before, after = rng.choice([*WORDS, ""]) + " " + left, right + " " + rng.choice([*WORDS, ""])
    places = find(before + planted + after)
    inside = [place for place in places if place.begin < len(before + planted) and place.end > len(before)]
    assert min(place.begin for place in inside) == len(before), ascii(before + planted + after)
    assert max(place.end for place in inside) == len(before + planted), ascii(before + planted + after)


@pytest.mark.parametrize("text", [*(f"ORD{digits}" for digits in (4111111111111111, "4111111111111111X")),
    "order INV-4111111111111111-B",
    "0.4111111111111111", "v10.0.19045.3693", "192.168.100.20:8080", "100 20 3000 40", "2026-03-04 12:30:45.123456",
    "\u8ba2\u53f71234567890123456789012", "a1b2c3d4-5e6f-4111-8111-111111111111", "PART-536-22-8726-A",
    "12.536.22.8726",
    "my password is incorrect!", "the tokens: 4096", "1,234,567,890,123.45"])  # fmt: skip
def test_ordinary_numbers_are_left_alone(text: str) -> None:
    assert found(text) == []


@given(st.text("0123456789", min_size=9, max_size=9))
def test_us_numbers_are_those_that_python_stdnum_knows(digits: str) -> None:
    written = f"{digits[:3]}-{digits[3:5]}-{digits[5:]}"
    kinds = [category for category, value in found(written) if value == written]
    if ssn.is_valid(written):
        assert Category.US_SSN in kinds
    elif itin.is_valid(written):
        assert Category.US_ITIN in kinds
    elif digits[0] != "9":
        assert kinds == []


ADVERSARIAL = [
    "a", "=", "1", "4 ", "4111 ", " ", '"', "\n", ".", "-", "//", "M", "sk-", "eyJ", "eyJa.", "aws", "api_key=",
    "key= ", "key ",
    "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "xoxb-1-", "://a:", "//a/:_authToken=", "AKIAIOSFODNN7EXAMPLE",
    "DE89 ", "password ",
    "ibm_cos_", "1&nbsp;", "\\n", "a\u0301\u0323", "\u0301\u0323", "\u200b", "\U000e0041", "\u202e12345",
    "\u0430", "\ufdfa", "a\u2800",
]  # fmt: skip


@pytest.mark.parametrize("unit", ADVERSARIAL)
def test_the_work_grows_with_the_length_alone(unit: str) -> None:
    def seconds(length: int) -> float:
        text, times = unit * (length // len(unit)), []
        for _ in range(3):
            began = time.process_time()
            find(text)
            times.append(time.process_time() - began)
        return min(times)

    find("warm")
    short, long = seconds(12_500), seconds(50_000)
    assert long < 8 * short + 0.02


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
