"""Texts with numbers, keys and passwords planted in them, as people and attackers write them."""

from __future__ import annotations

import random
import sys
import unicodedata
from collections.abc import Sequence

from stdnum import iban, luhn

ZEROS = [
    chr(code)
    for code in range(sys.maxunicode)
    if unicodedata.category(chr(code)) == "Nd" and unicodedata.decimal(chr(code)) == 0
]
SEPARATORS = [
    "", " ", "-", ".", "/", "\t", "\n", "\r\n", " - ", "_", "\\", "|", "*", "`",
    *map(chr, range(0x2000, 0x200B)), *map(chr, range(0x2010, 0x2016)), "\xa0", "\u202f", "\u205f", "\u3000", "\u2212",
    "\xb7", "\u2022", "\uff0d", "\uff0e", "\uff0f", "\u30fb", "\u2028", "\u2029", "\x85", "\x0b",
]  # fmt: skip
HIDDEN = [
    "\u200b",
    "\u200c",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\xad",
    "\u034f",
    "\ufe0f",
    "\U000e0041",
    "\u202a",
    "\x01",
]
NEIGHBOURS = [
    "\u5361\u53f7", "\xe9", "\u662f", "\u043d\u043e\u043c\u0435\u0440", "\u0430", "\u0631\u0642\u0645",
    "\u0e1a\u0e31\u0e15\u0e23",
    "\uce74\ub4dc", "\u30ab\u30fc\u30c9", "\u3053\u308c", "\U0001f600", "\U0001f468\u200d\U0001f469", "\u20ac",
    "$", "\xa3",
    "\u3002", "\uff0c", "\uff1a", "\u300c", "\u300d", "\u2116", "**", "_", "`", "|", '"', "'", "{", "}", "[", "]",
    "(", ")",
    "\u05de\u05e1\u05e4\u05e8", "\u0939\u093f", "\u201c", "\u201d", "#", "=", ":", ";", "!", "?", "\u2026",
    "\u03c0", "\u0142",
]  # fmt: skip
WORDS = [
    "Your claim is open.", "It was paid, we think.", "No!", "see the note", "\xe9t\xe9 \u4e2d\u6587\u3002",
    "\n\n", "\n",
    "\u60a8\u7684\u7533\u8bf7\u5df2\u7ecf\u6279\u51c6\uff0c\u6211\u4eec\u4f1a\u5c3d\u5feb\u8054\u7cfb\u60a8\u3002",
    "\u0e40\u0e23\u0e32\u0e44\u0e14\u0e49\u0e23\u0e31\u0e1a\u0e04\u0e33\u0e02\u0e2d",
    "\u092f\u0939 \u0920\u0940\u0915 \u0939\u0948\u0964",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "e.g.",
    "Mr.", "Then he left.\nShe did not.",
    "x" * 90, "version 10.0.19045", "on 2026-03-04 at 12:30",
]  # fmt: skip


def card(rng: random.Random) -> str:
    """Return a card number of sixteen digits with a valid check digit."""
    body = rng.choice("45") + "".join(rng.choices("0123456789", k=14))
    return body + luhn.calc_check_digit(body)


def social(rng: random.Random) -> str:
    return f"{rng.randint(100, 665)}{rng.randint(10, 99)}{rng.randint(1000, 9999)}"


def written(rng: random.Random, number: str, sizes: Sequence[int], separators: Sequence[str]) -> str:
    """Return the digits in groups, with one separator throughout or a mixture, in some script, perhaps
    with hidden characters."""
    zero = rng.choice(["0"] * 8 + ZEROS)
    digits = [chr(ord(zero) + int(digit)) for digit in number]
    if rng.random() < 0.2:
        digits = [digit + rng.choice([*HIDDEN, "", ""]) for digit in digits[:-1]] + digits[-1:]
    groups, begin = [], 0
    for size in sizes:
        groups.append("".join(digits[begin : begin + size]))
        begin += size
    one = rng.choice(separators)
    mixed = rng.random() < 0.3
    parts = [groups[0]]
    for group in groups[1:]:
        parts += [rng.choice(separators) if mixed else one, group]
    return "".join(parts)


def number(rng: random.Random) -> str:
    """Return a card or social security number as it may be written."""
    if rng.random() < 0.6:
        return written(rng, card(rng), (4, 4, 4, 4), SEPARATORS)
    return written(rng, social(rng), (3, 2, 4), [each for each in SEPARATORS if each not in ("", "|", "`")])


def key(rng: random.Random) -> str:
    """Return a private key over many lines, now and then without its end."""
    kind = rng.choice(["RSA ", "", "EC ", "OPENSSH "])
    lines = ["".join(rng.choices("ABCDEFabcdef0123456789+/", k=64)) for _ in range(rng.choice([1, 2, 4, 20]))]
    gap = rng.choice(["\n", "\r\n", "\n\n"])
    return gap.join([f"-----BEGIN {kind}PRIVATE KEY-----", *lines, f"-----END {kind}PRIVATE KEY-----"])


def secret(rng: random.Random) -> str:
    """Return one secret of every kind that is found without a network."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    token = "".join(
        rng.choices(
            "abcdefghijklmnopqrstuvwxyzABCDEFGH0123456789", k=rng.choice([36, 36, 40, 40, 60, 300, 1800])
        )
    )
    account = "".join(rng.choices("0123456789", k=18))
    digits = "DE" + iban.calc_check_digits("DE00" + account) + account
    return rng.choice(
        [
            "AKIA" + "".join(rng.choices(alphabet, k=16)),
            "sk-" + token,
            "ghp_" + token[:36],
            f"eyJhbGciOiJIUzI1NiJ9.{token}.{token[::-1]}",
            rng.choice(["password: ", "password is ", "api_key=", "password:\n\n", "**Password:** "])
            + token[:12]
            + "7!x",
            'password: "correct 1 horse battery staple"',
            digits,
            rng.choice([" ", "\xa0", "-"]).join(digits[index : index + 4] for index in range(0, 22, 4)),
            key(rng),
            number(rng),
            number(rng),
        ]
    )


def answer(rng: random.Random) -> str:
    """Return a model's answer with some of them in it."""
    parts: list[str] = []
    for _ in range(rng.randint(1, 14)):
        parts.append(secret(rng) if rng.random() < 0.35 else rng.choice(WORDS))
        parts.append(rng.choice([" ", " ", "\n", "", "\u3002"]))
    if rng.random() < 0.05:
        parts.append(key(rng)[: rng.randint(30, 400)])
    return "".join(parts)
