"""Conditions of the OpenTelemetry Transformation Language (OTTL), checked as the collector checks them
when it starts.

Source: pkg/ottl in OpenTelemetry Collector contrib 0.156: its grammar (LANGUAGE.md), its functions
(ottlfuncs/README.md) and the paths of its contexts (contexts/ottlspan, ottlspanevent, ottlmetric, ...).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from observability.collector.patterns import compile_pattern

TOKEN = re.compile(
    r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<bytes>0x[0-9a-fA-F]+)|(?P<float>\d+\.\d+|\.\d+)|(?P<int>\d+)'
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign>==|!=|<=|>=|[<>()\[\],.{}:+*/=-]))"
)
COMPARISONS = {"==", "!=", "<", "<=", ">", ">="}
ENUM = re.compile(
    r"(?:SPAN_KIND|STATUS_CODE|METRIC_DATA_TYPE|AGGREGATION_TEMPORALITY|SEVERITY_NUMBER|FLAG)_[A-Z0-9_]+"
)
WORDS = {"and", "or", "not", "true", "false", "nil"}
FUNCTIONS = set(
    """Base64Decode Bool ByteSlice CommunityID Concat ContainsValue ConvertAttributesToElementsXML
    ConvertCase ConvertTextToElementsXML Day Decode Double Duration ExtractGrokPatterns
    ExtractPatterns FNV Format FormatTime GetXML HasPrefix HasSuffix Hex Hour Hours Index InsertXML
    Int IsBool IsDouble IsInCIDR IsInt IsList IsMap IsMatch IsRootSpan IsString IsValidLuhn Keys Len
    Log MD5 Microseconds Milliseconds Minute Minutes Month Murmur3Hash Murmur3Hash128 Nanosecond
    Nanoseconds Now ParseCSV ParseInt ParseJSON ParseKeyValue ParseSeverity ParseSimplifiedXML
    ParseXML ProfileID RemoveXML SHA1 SHA256 SHA512 Second Seconds SliceToMap Sort SpanID Split
    String Substring Time ToCamelCase ToKeyValueString ToLowerCase ToSnakeCase ToUpperCase TraceID
    Trim TrimPrefix TrimSuffix TruncateTime URL UUID UUIDv7 Unix UnixMicro UnixMilli UnixNano
    UnixSeconds UserAgent Values Weekday XXH128 XXH3 Year HasAttrKeyOnDatapoint HasAttrOnDatapoint""".split()
)
AROUND = {"cache", "resource", "instrumentation_scope", "scope", "otelcol"}
SPAN = set(
    """span trace_id span_id trace_state parent_span_id name kind start_time_unix_nano end_time_unix_nano
    start_time end_time attributes dropped_attributes_count events dropped_events_count links
    dropped_links_count status flags""".split()
)
PATHS = {
    "span": AROUND | SPAN,
    "spanevent": AROUND
    | {
        "span",
        "spanevent",
        "time_unix_nano",
        "time",
        "name",
        "attributes",
        "dropped_attributes_count",
        "event_index",
    },
    "metric": AROUND
    | {
        "metric",
        "name",
        "description",
        "unit",
        "type",
        "aggregation_temporality",
        "is_monotonic",
        "data_points",
        "metadata",
    },
    "datapoint": AROUND
    | set(
        """metric datapoint attributes start_time_unix_nano time_unix_nano start_time time value_double
    value_int exemplars flags count sum bucket_counts explicit_bounds scale zero_count positive
    negative quantile_values""".split()
    ),
    "log_record": AROUND
    | set(
        """log time_unix_nano observed_time_unix_nano time observed_time severity_number severity_text body
    attributes dropped_attributes_count flags trace_id span_id event_name""".split()
    ),
    "resource": AROUND | {"attributes", "dropped_attributes_count", "schema_url"},
}
"""First words of paths, by the subject of the condition."""


def check_condition(condition: str, about: str) -> None:
    """Raise ``ValueError`` for a condition with which the collector would not start."""
    try:
        _Condition(condition, PATHS[about]).check()
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"not a condition that we use: {condition!r}: {error}; "
            'write IsMatch(name, "...") or name == "..."'
        ) from error


class _Condition:
    """A recursive-descent parser that only checks what it reads."""

    def __init__(self, condition: str, paths: set[str]) -> None:
        self._tokens = list(_tokens(condition))
        self._paths = paths
        self._at = 0

    def check(self) -> None:
        self._either()
        if self._at < len(self._tokens):
            raise ValueError(f"unexpected {self._tokens[self._at][1]!r}")

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _kind(self) -> str:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else "end"

    def _take(self, expected: str = "") -> str:
        token = self._peek()
        if not token or (expected and token != expected):
            raise ValueError(f"expected {expected or 'a value'}, not {token or 'the end'}")
        self._at += 1
        return token

    def _either(self) -> None:
        self._both()
        while self._peek() == "or":
            self._take()
            self._both()

    def _both(self) -> None:
        self._negated()
        while self._peek() == "and":
            self._take()
            self._negated()

    def _negated(self) -> None:
        if self._peek() == "not":
            self._take()
        start = self._at
        if self._peek() == "(":
            # A parenthesis opens either a condition or a sum that is compared.
            self._take()
            try:
                self._either()
                self._take(")")
            except ValueError:
                self._at = start
            else:
                if self._peek() not in COMPARISONS and self._peek() not in set("+-*/"):
                    return
                self._at = start
        is_truth = self._peek() in ("true", "false") or (self._kind() == "name" and self._is_call())
        self._sum()
        if self._peek() in COMPARISONS:
            self._take()
            self._sum()
        elif not is_truth:
            raise ValueError("a condition compares two values or calls a function that returns a boolean")

    def _is_call(self) -> bool:
        return self._at + 1 < len(self._tokens) and self._tokens[self._at + 1][1] == "("

    def _sum(self) -> None:
        self._value()
        while self._peek() in ("+", "-", "*", "/"):
            self._take()
            self._value()

    def _value(self) -> None:
        kind, word = self._kind(), self._take()
        if word == "-":
            self._value()
        elif word == "(":
            self._sum()
            self._take(")")
        elif word == "[":
            self._items("]", self._sum)
        elif word == "{":
            self._items("}", self._entry)
        elif kind == "name" and word not in ("true", "false", "nil"):
            self._named(word)
        elif kind == "text":
            unquoted(word)
        elif kind == "sign" or word in WORDS - {"true", "false", "nil"}:
            raise ValueError(f"unexpected {word!r}")

    def _items(self, end: str, item: Callable[[], None]) -> None:
        while self._peek() != end:
            item()
            if self._peek() != end:
                self._take(",")
        self._take(end)

    def _entry(self) -> None:
        if self._kind() != "text":
            raise ValueError("a map's key is text")
        self._take()
        self._take(":")
        self._sum()

    def _named(self, name: str) -> None:
        """Parse a function call, a constant of an enumeration, or a path."""
        if name[0].isupper() and self._peek() == "(":
            self._call(name)
        elif ENUM.fullmatch(name):
            return
        elif name not in self._paths:
            raise ValueError(f"{name!r} is not a path here; use one of {', '.join(sorted(self._paths))}")
        while self._peek() in (".", "["):
            if self._take() == ".":
                self._take()
            else:
                self._sum()
                self._take("]")

    def _call(self, name: str) -> None:
        if name not in FUNCTIONS:
            raise ValueError(f"undefined function {name!r}")
        self._take("(")
        arguments: list[list[tuple[str, str]]] = []

        def argument() -> None:
            start = self._at
            if self._kind() == "name" and self._tokens[self._at + 1 : self._at + 2] == [("sign", "=")]:
                self._at += 2
            if self._kind() == "name" and self._peek()[0].isupper() and not self._is_call():
                self._take()
            else:
                self._sum()
            arguments.append(self._tokens[start : self._at])

        self._items(")", argument)
        if name == "IsMatch":
            if len(arguments) != 2:
                raise ValueError("IsMatch takes a value and a pattern")
            kind, pattern = arguments[1][-1]
            if kind == "text" and len(arguments[1]) in (1, 3):
                compile_pattern(unquoted(pattern))


ESCAPE = re.compile(
    r'\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.?))', re.DOTALL
)
SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unquoted(text: str) -> str:
    """Return the value of an OTTL string literal. Raises ``ValueError`` for an escape that Go does not have."""

    def character(match: re.Match[str]) -> str:
        if match[1]:
            return SIMPLE.get(match[1], match[1])
        digits = match[2] or match[3] or match[4]
        if digits or match[5]:
            return chr(int(digits, 16) if digits else int(match[5], 8))
        raise ValueError(f"{match[0]} is no escape; write a pattern's backslash twice")

    return ESCAPE.sub(character, text[1:-1])


def _tokens(condition: str) -> list[tuple[str, str]]:
    tokens = []
    position = 0
    while condition[position:].strip():
        match = TOKEN.match(condition, position)
        if match is None or match.lastgroup is None:
            raise ValueError(f"unexpected {condition[position:].strip()[:1]!r}")
        tokens.append((match.lastgroup, match[match.lastgroup]))
        position = match.end()
    return tokens
