"""Numbers that prove themselves, in any notation: cards (Luhn), IBAN (mod 97), US SSN and ITIN.

Each decision needs only the text within ``REACH`` characters of the number, and each character is examined a
fixed number of times.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate

from stdnum import numdb

from fmops.guardrails.categories import Category

REACH = 80
"""Maximum characters of a number with its separators, and of the context that must be seen beside it."""

Place = tuple[Category, int, int]

_LONGEST = 72
_DASHES = (
    "\\-~\u02d7\u2010-\u2015\u2043\u2053\u2212\u2796\u2e3a\u2e3b\u301c\u30fc\ufe58\ufe63\uff0d\uff5e\uff70"
)
_DOTS = ".\xb7\u06d4\u2022\u2024\u2027\u2219\u22c5\u3002\u30fb\uff0e\uff61\uff65"
_SLASHES = "/\\\\\u2044\u2215\uff0f\uff3c"
_ESCAPE = (
    r"\\[nrt]|\\u[0-9A-Fa-f]{4}|%(?:20|2[DdEe]|09|0[AaDd]|[Cc]2%[Aa]0)"
    r"|&(?:nbsp|ensp|emsp|thinsp|[nm]dash|#\w{2,5});"
)
_CHARACTER = (
    rf"[\s{_DASHES}{_DOTS}{_SLASHES}_,:;|*'\"`+()\[\]<>=\u060c\u066b\u066c\u3001\uff0c\uff1a\uff3f\uff5c]"
)
_GROUP = re.compile(rf"([0-9]++)((?:{_ESCAPE}|{_CHARACTER}){{0,5}}+)|\\u[0-9A-Fa-f]{{4}}")
_OWN = re.compile(rf"(?:{_ESCAPE}|[\s{_DASHES}{_DOTS}{_SLASHES}_*]){{1,3}}")
"""Separators between the parts of a number that only its shape proves."""

_FOUR_AND_MORE = frozenset({(4, 6, 5), (4, 6, 4)})
_USUAL = re.compile(r"[456]\d{15}|2[2-7]\d{14}|3[47]\d{13}|3[068]\d{12}")
_NAMED = re.compile(
    r"(?:card|credit|debit|visa|master|amex|account|number|num|no|nr|cc|pan|ssn|itin|tin)[_\-]?$",
    re.IGNORECASE,
)
_SOCIAL = re.compile(r"ssn|social|itin|tax|security|identification", re.IGNORECASE)
_SSN_PLAIN = re.compile(
    r"(?:ssn|itin|social security(?: number| no\.?)?)[\"'`*_]{0,3}"
    r"(?: is| =|:|=|#| )? ?[\"'`*_]{0,3}([0-9]{9})(?![0-9A-Za-z])",
    re.IGNORECASE,
)
_MIXED = re.compile("[0-9][OolI\u0417\u0437]|[OolI\u0417\u0437][0-9]")
_FIRST_GROUP = re.compile(r"[^\W\d_]{0,3}[0-9]")
_LAST_GROUP = re.compile(r"[0-9][^\W\d_]{0,3}$")
_AS_DIGITS = str.maketrans(
    "OolI\u041e\u043e\u039f\u03bf\u0406\u0456\u04c0\u04cf\u0399\u0131\u0417\u0437", "0011000011111133"
)
_MOST_LOOKALIKES = 8

_IBAN = re.compile(
    rf"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))(?:IBAN)?([A-Za-z][\s{_DASHES}.]?[A-Za-z])[\s{_DASHES}.]?[0-9][\s{_DASHES}.]?[0-9]"
)
_IBAN_GAP = rf"[\s{_DASHES}{_DOTS}{_SLASHES}_*'\"`|>]{{0,3}}+"


def numbers(text: str) -> Iterator[Place]:
    """Yield the numbers in a folded text; some of them may overlap."""
    yield from _ibans(text)
    for match in _SSN_PLAIN.finditer(text):
        yield from _identity(match[1], *match.span(1))
    yield from _grouped(text)
    if _MIXED.search(text):
        for category, begin, end in _grouped(text.translate(_AS_DIGITS)):
            letters = sum(map(str.isalpha, text[begin:end]))
            edges = _FIRST_GROUP.match(text, begin), _LAST_GROUP.search(text, end - 4, end)
            if category is Category.CARD_NUMBER and 0 < letters <= _MOST_LOOKALIKES and all(edges):
                yield category, begin, end


def _grouped(text: str) -> Iterator[Place]:
    run: list[tuple[int, int]] = []
    end = -1
    for match in _GROUP.finditer(text):
        if match.start() != end and run:
            yield from _run(text, run)
            run = []
        if match[1]:
            run.append(match.span(1))
            end = match.end()
    if run:
        yield from _run(text, run)


def _run(text: str, groups: Sequence[tuple[int, int]]) -> Iterator[Place]:
    """Yield the numbers among groups of digits that only separators divide."""
    sizes = [end - begin for begin, end in groups]
    total = sum(sizes)
    if total < 9:
        return
    digits = "".join([text[begin:end] for begin, end in groups])
    offsets = [0, *accumulate(sizes)]
    uniform = _uniform(sizes)
    whole = 13 <= total <= 19
    for index, size in enumerate(sizes):
        if size == 3 and sizes[index + 1 : index + 3] == [2, 4]:
            yield from _social(text, groups, index)
        if total < 13 or digits[offsets[index]] not in "23456":
            continue
        counts = _counts(sizes, index, uniform)
        for count in counts:
            number = digits[offsets[index] : offsets[index + count]]
            if _proves(number):
                yield from _card(text, groups[index : index + count])
        if whole and not index and len(sizes) not in counts and _USUAL.fullmatch(digits) and _proves(digits):
            yield from _card(text, groups)


def _uniform(sizes: Sequence[int]) -> list[int]:
    """Return, for each group, how many groups from it on have its size."""
    lengths = [1] * len(sizes)
    for index in range(len(sizes) - 2, -1, -1):
        if sizes[index] == sizes[index + 1]:
            lengths[index] = lengths[index + 1] + 1
    return lengths


def _counts(sizes: Sequence[int], index: int, uniform: Sequence[int]) -> list[int]:
    """Return the possible numbers of groups, from this one on, that form a card number as cards are written."""
    size = sizes[index]
    if 13 <= size <= 19:
        return [1]
    if tuple(sizes[index : index + 3]) in _FOUR_AND_MORE:
        return [3]
    if size % 4 == 0 and (joined := _sixteen(sizes, index)):
        return sorted({joined, *(_counts_of_equals(sizes, index, uniform) if size == 4 else [])})
    return _counts_of_equals(sizes, index, uniform) if size in (1, 2, 4, 8) else []


def _sixteen(sizes: Sequence[int], index: int) -> int:
    """Return how many groups of four, some of them written together, make sixteen digits; 0 when they do
    not.
    """
    total = 0
    for count, size in enumerate(sizes[index : index + 4], 1):
        total += size
        if size % 4 or total > 16:
            return 0
        if total == 16:
            return count
    return 0


def _counts_of_equals(sizes: Sequence[int], index: int, uniform: Sequence[int]) -> list[int]:
    """Return the possible numbers of groups of one size, perhaps with a shorter last one, that form a card
    number.
    """
    size = sizes[index]
    full = uniform[index]
    begins = not index or sizes[index - 1] != size
    if size < 4 and not begins:
        return []
    counts = []
    for count in range(-(-13 // size), 19 // size + 1):
        if count > full:
            break
        rest = sizes[index + count] if index + count < len(sizes) else 0
        if size == 4 or count == full:
            counts.append(count)
        if rest and rest < size and 13 <= count * size + rest <= 19:
            counts.append(count + 1)
    if size == 4 and full == 3 and index + 3 < len(sizes) and 1 <= sizes[index + 3] < 4:
        counts.append(4)
    return counts


def _card(text: str, groups: Sequence[tuple[int, int]]) -> Iterator[Place]:
    begin, end = groups[0][0], groups[-1][1]
    if end - begin <= _LONGEST and (len(groups) > 2 or _apart(text, begin, end)):
        yield Category.CARD_NUMBER, begin, end


_DOUBLED = str.maketrans("0123456789", "0246813579")


def _proves(digits: str) -> bool:
    """Return whether the digits have a card number's length, prefix and check digit."""
    if not 13 <= len(digits) <= 19 or (digits[0] == "2" and not "2" <= digits[1] <= "7"):
        return False
    doubled = digits[-2::-2].translate(_DOUBLED)
    return sum(map(int, digits[-1::-2] + doubled)) % 10 == 0 and digits.count(digits[0]) < len(digits)


def _apart(text: str, begin: int, end: int) -> bool:
    """Return whether digits without separators stand alone, not as part of a Latin identifier or a fraction."""
    before, after = text[max(0, begin - 12) : begin], text[end : end + 2]
    if re.match(r"[A-Za-z]|[_\-][A-Za-z0-9]", after):
        return False
    joined = re.search(r"[A-Za-z]$|[A-Za-z0-9][_\-]$|[0-9][.,]$", before)
    return (
        not joined or bool(_NAMED.search(before)) or bool(re.search(r"\\[nrt]$|\\u[0-9A-Fa-f]{4}$", before))
    )


def _social(text: str, groups: Sequence[tuple[int, int]], index: int) -> Iterator[Place]:
    (begin, first), (second, third), (fourth, end) = groups[index : index + 3]
    gaps = text[first:second], text[third:fourth]
    if not all(_OWN.fullmatch(gap) for gap in gaps):
        return
    before, after = text[max(0, begin - 24) : begin], text[end : end + 2]
    if re.search(r"[A-Za-z0-9][_\-./]?$", before) and not (
        _NAMED.search(before) or re.search(r"\\[nrt]$|\\u[0-9A-Fa-f]{4}$", before)
    ):
        return
    if re.match(r"[A-Za-z0-9]|[_\-][A-Za-z0-9]|[./][0-9]", after):
        return
    if all(gap.isspace() for gap in gaps) and not _SOCIAL.search(before):
        # Three numbers of a row or a column do not form a number together.
        if index and text[groups[index - 1][1] : begin].isspace():
            return
        if index + 3 < len(groups) and text[end : groups[index + 3][0]].isspace():
            return
    yield from _identity(text[begin:first] + text[second:third] + text[fourth:end], begin, end)


def _identity(digits: str, begin: int, end: int) -> Iterator[Place]:
    if _SSN.fullmatch(digits) and digits not in _NEVER_ISSUED:
        yield Category.US_SSN, begin, end
    elif _ITIN.fullmatch(digits):
        yield Category.US_ITIN, begin, end


# python-stdnum's rules, without its cost on thousands of numbers, plus the ITIN groups added since.
_SSN = re.compile("(?!000|666|9)[0-9]{3}(?!00)[0-9]{2}(?!0000)[0-9]{4}")
_ITIN = re.compile("9[0-9]{2}(?:5[0-9]|6[0-5]|7[0-9]|8[0-8]|9[0-24-9])[0-9]{4}")
_NEVER_ISSUED = frozenset({"078051120", "457555462", "219099999"})


@cache
def _iban_forms() -> dict[str, tuple[re.Pattern[str], re.Pattern[str]]]:
    """Return the patterns of each country's IBAN: one by length, with gaps, and one by its parts, without
    gaps.
    """
    forms = {}
    for _, country, _, properties, _ in numdb.get("iban").prefixes:
        parts = re.findall(r"(\d+)!([nac])", properties["bban"])
        length = 4 + sum(int(size) for size, _ in parts)
        gapped = rf"(?:[A-Za-z0-9]{_IBAN_GAP}){{{length - 1}}}[A-Za-z0-9]"
        plain = "".join(f"[{_IBAN_PARTS[kind]}]{{{size}}}" for size, kind in parts)
        forms[country] = re.compile(gapped), re.compile(f"[A-Z]{{2}}[0-9]{{2}}{plain}")
    return forms


_IBAN_PARTS = {"n": "0-9", "a": "A-Z", "c": "A-Z0-9"}
_BASE_36 = {ord(letter): str(int(letter, 36)) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
_NO_ALNUM = re.compile("[^A-Za-z0-9]+")


def _ibans(text: str) -> Iterator[Place]:
    forms = _iban_forms()
    for match in _IBAN.finditer(text):
        gapped, parts = forms.get((match[1][0] + match[1][-1]).upper(), (None, None))
        number = gapped.match(text, match.start(1)) if gapped else None
        if number and parts and not text[number.end() : number.end() + 1].isdecimal():
            plain = _NO_ALNUM.sub("", number[0]).upper()
            if int((plain[4:] + plain[:4]).translate(_BASE_36)) % 97 == 1 and parts.fullmatch(plain):
                yield Category.IBAN, *number.span()
