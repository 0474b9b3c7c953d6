"""The keys of Firehose's objects: prefixes, the expressions in them, and what the service refuses of both.

Source: "Understand custom prefixes for Amazon S3 objects" of Firehose's guide, and Java's DateTimeFormatter, whose
patterns it takes.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from local.aws.kernel.api import NotImplementedHere, Params, ServiceError

EXPRESSION = re.compile(r"!\{([^{}:]*):([^{}]*)\}")
DEFAULT_SUFFIX = "yyyy/MM/dd/HH/"
ERROR_TYPE = "error-output-type"
MAX_EVALUATED = 512
PARTITION_KEYS = ("partitionKeyFromQuery", "partitionKeyFromLambda")

Field = Callable[[datetime, int], str]


def _padded(value: Callable[[datetime], int]) -> Field:
    return lambda moment, count: f"{value(moment):0{count}}"


def _year(moment: datetime, count: int) -> str:
    return f"{moment.year % 100:02}" if count == 2 else f"{moment.year:0{count}}"


def _named(numeric: Callable[[datetime], int], short: str, full: str) -> Field:
    """A field that is a number in one or two letters, a name cut short in three, whole in four, and one
    letter of it in five.
    """

    def field(moment: datetime, count: int) -> str:
        if count < 3:
            return f"{numeric(moment):0{count}}"
        name = moment.strftime(full if count == 4 else short)
        return name[0] if count == 5 else name

    return field


def _weekday(moment: datetime, count: int) -> str:
    return moment.strftime("%A" if count == 4 else "%a")[: 1 if count == 5 else None]


def _fraction(moment: datetime, count: int) -> str:
    return f"{moment.microsecond * 1000:09}"[:count]


_MONTH = _named(lambda moment: moment.month, "%b", "%B")
FIELDS: dict[str, tuple[int, Field]] = {
    "y": (19, _year),
    "u": (19, _year),
    "M": (5, _MONTH),
    "L": (5, _MONTH),
    "d": (2, _padded(lambda moment: moment.day)),
    "D": (3, _padded(lambda moment: moment.timetuple().tm_yday)),
    "E": (5, _weekday),
    "a": (1, lambda moment, _: moment.strftime("%p")),
    "H": (2, _padded(lambda moment: moment.hour)),
    "k": (2, _padded(lambda moment: moment.hour or 24)),
    "K": (2, _padded(lambda moment: moment.hour % 12)),
    "h": (2, _padded(lambda moment: moment.hour % 12 or 12)),
    "m": (2, _padded(lambda moment: moment.minute)),
    "s": (2, _padded(lambda moment: moment.second)),
    "S": (9, _fraction),
}
"""By pattern letter: how often it may stand in a row, and what it becomes."""
NOT_HERE = "GYgQqwWecFBAnNVvzOXxZ"
"""Letters that Java's patterns also know, and the local AWS does not."""
MOST_LETTERS = {letter: most for letter, (most, _) in FIELDS.items()} | dict.fromkeys(NOT_HERE, 19)


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidArgumentException", message)


def check(destination: Params) -> None:
    """Raise what CreateDeliveryStream answers for a destination whose keys could not be made."""
    zone = destination.get("CustomTimeZone") or "UTC"
    try:
        ZoneInfo(zone)
    except (LookupError, ValueError):
        raise invalid(f"CustomTimeZone {zone} is not a time zone that Firehose knows") from None
    prefix, errors = destination.get("Prefix") or "", destination.get("ErrorOutputPrefix")
    if not errors and "!{" in prefix:
        raise invalid("ErrorOutputPrefix can't be null or empty when Prefix contains expressions")
    used = _check_expressions("Prefix", prefix)
    if ("firehose", ERROR_TYPE) in used:
        raise invalid(f"Prefix can't contain !{{firehose:{ERROR_TYPE}}}")
    used = _check_expressions("ErrorOutputPrefix", errors or "")
    if used and ("firehose", ERROR_TYPE) not in used:
        raise invalid(f"An ErrorOutputPrefix with expressions must contain !{{firehose:{ERROR_TYPE}}}")
    for name, text in (("Prefix", prefix), ("ErrorOutputPrefix", errors or "")):
        if len(_evaluate(text, datetime.now(UTC))) > MAX_EVALUATED:
            raise invalid(f"{name} can't be longer than {MAX_EVALUATED} characters after it is evaluated")


def _check_expressions(name: str, text: str) -> set[tuple[str, str]]:
    """The expressions of a prefix, by namespace and value."""
    if "!{" in EXPRESSION.sub("", text):
        raise invalid(f"{name} has !{{ outside of an expression !{{namespace:value}}: {text}")
    used = {(match[1], match[2]) for match in EXPRESSION.finditer(text)}
    for namespace, value in sorted(used):
        if namespace == "timestamp":
            # Read to its end first: what is wrong is said before what is not here.
            if absent := {letter for letter, _, _ in list(_tokens(value))} & {*NOT_HERE}:
                raise NotImplementedHere(
                    f"{', '.join(sorted(absent))} in the timestamp pattern {value} of {name}"
                )
        elif namespace in PARTITION_KEYS:
            raise invalid(f"{name} uses {namespace}, and dynamic partitioning is not enabled")
        elif namespace != "firehose" or value not in (ERROR_TYPE, "random-string"):
            raise invalid(f"{name} has an expression that Firehose does not know: !{{{namespace}:{value}}}")
    return used


def object_key(destination: Params, stream: str, oldest: datetime) -> str:
    """The key of an object whose oldest record arrived at a moment, by which its time is evaluated."""
    moment = oldest.astimezone(ZoneInfo(destination.get("CustomTimeZone") or "UTC"))
    prefix = destination.get("Prefix") or ""
    filled = _evaluate(prefix, moment)
    if "!{timestamp:" not in prefix:
        filled += java_time(DEFAULT_SUFFIX, moment)
    extension = destination.get("FileExtension")
    if extension is None:
        extension = ".gz" if destination.get("CompressionFormat") == "GZIP" else ""
    return f"{filled}{stream}-1-{moment.strftime('%Y-%m-%d-%H-%M-%S')}-{uuid.uuid4()}{extension}"


def _evaluate(prefix: str, moment: datetime) -> str:
    def fill(match: re.Match[str]) -> str:
        if match[1] == "timestamp":
            return java_time(match[2], moment)
        return "processing-failed" if match[2] == ERROR_TYPE else uuid.uuid4().hex[:11]

    return EXPRESSION.sub(fill, prefix)


def java_time(pattern: str, moment: datetime) -> str:
    """A moment as Java's DateTimeFormatter writes it. Raises what the service answers for a pattern that it
    does not take.
    """
    return "".join(
        FIELDS[letter][1](moment, count) if letter else literal for letter, count, literal in _tokens(pattern)
    )


def _tokens(pattern: str) -> Iterator[tuple[str, int, str]]:
    """Letters with their counts, and literal text, which has no letter."""
    if not pattern:
        raise invalid("A timestamp expression has no pattern")
    open_sections = 0
    for match in re.finditer(r"'((?:[^']|'')*)'|'|([A-Za-z])\2*|[^A-Za-z']", pattern):
        text, letter = match[0], match[2]
        if letter:
            if letter not in MOST_LETTERS:
                raise invalid(f"The timestamp pattern {pattern} has the unknown letter {letter}")
            if len(text) > MOST_LETTERS[letter]:
                raise invalid(f"The timestamp pattern {pattern} has too many letters {letter}")
            yield letter, len(text), ""
        elif text == "'":
            raise invalid(f"The timestamp pattern {pattern} has a quote that does not end")
        elif text in "{}#":
            raise invalid(f"The timestamp pattern {pattern} has the reserved character {text}")
        elif text in "[]":
            # What is optional in reading is always written.
            open_sections += 1 if text == "[" else -1
            if open_sections < 0:
                raise invalid(f"The timestamp pattern {pattern} ends a section that did not begin")
        else:
            yield "", 0, match[1].replace("''", "'") or "'" if text[0] == "'" else text
