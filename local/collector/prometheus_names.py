"""OpenTelemetry's names as Prometheus writes them.

Sources: prometheus/otlptranslator; OpenTelemetry Collector contrib, README of pkg/translator/prometheus.
"""

from __future__ import annotations

import re

UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes",
    "GiBy": "gibibytes", "TiBy": "tibibytes", "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes",
    "TBy": "terabytes", "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts",
    "g": "grams", "Cel": "celsius", "Hz": "hertz", "1": "", "%": "percent",
}  # fmt: skip
PER_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}


def metric_name(
    name: str, unit: str, kind: str, *, monotonic: bool, namespace: str = "", suffixes: bool = True
) -> str:
    """Return an OTLP metric's name in Prometheus, or nothing for a name that has none there.

    Args:
        kind: Kind of its data, as OTLP calls it: ``gauge``, ``sum``, ``histogram`` ...
        suffixes: Whether to add unit and type.
    """
    if suffixes:
        words = [word for word in re.split(r"[^A-Za-z0-9:]+", name) if word]
        words = _with_unit(words, unit)
        if monotonic:
            words = [word for word in words if word != "total"] + ["total"]
        if unit == "1" and kind == "gauge":
            words = [word for word in words if word != "ratio"] + ["ratio"]
        joined = "_".join([namespace, *words] if namespace else words)
    else:
        joined = "_".join(_legal(name))
        if namespace:
            return _unless_empty("_".join(_legal(namespace)) + "_" + joined)
    return _unless_empty(f"_{joined}" if joined[:1].isdigit() else joined)


def label_name(name: str) -> str:
    """Return an attribute's name as a label, or nothing for a name of which only underscores would remain."""
    cleaned = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if cleaned[:1].isdigit():
        cleaned = f"key_{cleaned}"
    elif cleaned.startswith("_") and not cleaned.startswith("__"):
        cleaned = f"key{cleaned}"
    return _unless_empty(cleaned)


def _with_unit(words: list[str], unit: str) -> list[str]:
    """Return a name's words, with its unit and the unit that it is divided by unless they are already there."""
    main, _, per = (part.strip() for part in unit.partition("/"))
    main = "" if set("{}") & set(main) else _clean(UNITS.get(main, main))
    per = "" if not per or set("{}") & set(per) else _clean("per_" + PER_UNITS.get(per, per))
    per = "" if per == "per_" else per.removesuffix("_")
    if main in words:
        main = ""
    if per in words:
        per = ""
    if per:
        main = main.removesuffix("_")
    return words + [part for part in (main, per) if part]


def _clean(unit: str) -> str:
    return re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9:]", "_", unit)).removeprefix("_")


def _legal(name: str) -> list[str]:
    return [part for part in re.split(r"[^A-Za-z0-9:_]+", name) if part]


def _unless_empty(name: str) -> str:
    return name if name.strip("_") else ""
