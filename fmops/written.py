"""Text files written by people: in whatever encoding their editor chose, with a clear error for files that
cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

if TYPE_CHECKING:
    from pydantic import BaseModel

Model = TypeVar("Model", bound="BaseModel")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's loader, ten times as fast, where PyYAML was built with it."""


class UnreadableFileError(ValueError):
    """The file cannot be read; the message names it and the remedy."""


def read(path: Path) -> str:
    """Return a file's text. Raises ``UnreadableFileError``."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UnreadableFileError(f"{path} does not exist: name a file that does") from None
    except IsADirectoryError:
        raise UnreadableFileError(f"{path} is a folder: name a file in it") from None
    except OSError as error:
        raise UnreadableFileError(f"{path} cannot be read: {error.strerror}") from None
    return decode(data, str(path))


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds. Raises ``UnreadableFileError``, which names the line."""
    try:
        return yaml.load(read(path), Loader=_Loader)  # noqa: S506 - a safe one
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it holds a character that YAML does not allow"
        raise UnreadableFileError(f"{path}{where} is not YAML: {problem}: correct it") from None


def read_model(kind: type[Model], path: Path) -> Model:
    """Return what a YAML file holds, as ``kind``. Raises ``UnreadableFileError``, which names the first field that
    is wrong, without its value."""
    from pydantic import ValidationError

    try:
        return kind.model_validate(read_yaml(path))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise UnreadableFileError(f"{path}: {field}: {first['msg']}: correct it") from None


def decode(data: bytes, name: str) -> str:
    """Return the text of a file's bytes: UTF-8, UTF-16 or UTF-32, with or without a byte-order mark.

    Raises ``UnreadableFileError`` for any other encoding.
    """
    try:
        # ``detect_encoding`` knows an encoding by its mark, or by where the first characters have zero bytes
        # (RFC 4627, section 3).
        return data.decode(json.detect_encoding(data)).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(
            f"{name} is not text in UTF-8 (byte {error.start} is not part of any character): save it as UTF-8"
        ) from None
