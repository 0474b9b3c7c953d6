"""Forms of strings that are not text: ids and words of protocols, opaque tokens, and files. Any other string is
text."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
from dataclasses import dataclass

_TOKEN = re.compile(r"[A-Za-z0-9_.:/+=|$-]{1,128}")
_ARN = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:\d{12}:")
_LONG_NUMBER = re.compile(r"(?<![A-Za-z0-9])\d(?:[_.:/+=|$-]?\d){8,}(?![A-Za-z0-9])|\d{13}")
"""Nine digits or more that stand alone, or thirteen in a row: hexadecimal ids hardly ever have those."""
_DAY = re.compile(r"(?<!\d)20\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\d)")
"""A date as it occurs in the names of models."""
_UUID = re.compile(r"(?i)(?<![0-9a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}(?![0-9a-f])")
_DATE = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
    r"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
)
_PLAIN_KEY = re.compile(r"[A-Za-z]{1,16}(?:[_-][A-Za-z]{1,16})?")

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_DATA_URL = re.compile(
    r"(data:[a-z]+/[a-zA-Z0-9.+-]{1,80}(?:;[a-z]+=[A-Za-z0-9._-]{1,40})?;base64,)(.*)", re.DOTALL
)
_HIDDEN_NUMBER = re.compile(r"(?<![A-Za-z0-9])\d{12,19}(?![A-Za-z0-9])")
_SHORT = 256
_KEY = secrets.token_bytes(16)
"""Random key, so that no one outside this process can tell which id a stand-in replaces."""
_LETTERS = str.maketrans("0123456789", "ghijklmnop")
_STRINGS = re.compile(rb"[\t\n\r\x20-\x7e]{6,}")
_SIGNATURES = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"%PDF-", b"PK\x03\x04",
    b"\xd0\xcf\x11\xe0", b"ID3", b"\xff\xfb", b"\xff\xf3", b"OggS", b"fLaC", b"\x1aE\xdf\xa3", b"\x00\x00\x01\x00",
)  # fmt: skip
_FRAMED = {b"RIFF": (b"WEBP", b"WAVE", b"AVI ")}


def is_token(text: str) -> bool:
    """Return whether it is a protocol's id or word: short, without spaces, and without a number that could be a
    person's."""
    if arn := _ARN.match(text):
        text = text[arn.end() :]
    if _TOKEN.fullmatch(text) is None:
        return False
    # Hardly any has such a number, and leaving out ids and dates makes none.
    return (
        _LONG_NUMBER.search(text) is None or _LONG_NUMBER.search(_DAY.sub("", _UUID.sub("x", text))) is None
    )


def token_for(text: str) -> str:
    """Return the id itself if it has the form of one, or else a stand-in that is the same wherever the id
    occurs.

    A call and its result find each other by their ids, so an id cannot be redacted in one place alone.
    """
    if is_token(text):
        return text
    return "id_" + hashlib.blake2b(
        text.encode(errors="replace"), digest_size=12, key=_KEY
    ).hexdigest().translate(_LETTERS)


def is_inert(text: str) -> bool:
    """Return whether it is a value that is normal in metadata: an id, a word, a date."""
    return is_token(text) or _DATE.fullmatch(text) is not None


def is_plain_key(key: str) -> bool:
    """Return whether it can only name a field: one or two words, of letters alone."""
    return _PLAIN_KEY.fullmatch(key) is not None


def is_opaque(text: str) -> bool:
    """Return whether it is a signature or encrypted data: an id, or base64 of data that is not text."""
    if is_token(text):
        return True
    decoded = _decoded(text)
    return decoded is not None and _as_text(decoded) is None and not _HIDDEN_NUMBER.search(text)


@dataclass(frozen=True, slots=True)
class File:
    """The readable content of a file that a message carries.

    ``raw`` is the field itself if it is not a file at all. ``text`` is the content of a text file. ``strings``
    are the readable pieces of a file of an unknown kind.
    """

    raw: str = ""
    text: str = ""
    strings: str = ""


def read_file(value: str | bytes, *, declared_text: bool = False) -> File:
    """Read the field of a picture or a file, which should hold base64, a data URL or bytes."""
    if isinstance(value, bytes):
        return _read(value, declared_text=declared_text)
    url = _DATA_URL.fullmatch(value)
    encoded = url[2] if url else value
    decoded = _decoded(encoded)
    if decoded is None or _HIDDEN_NUMBER.search(value):
        return File(raw=value)
    file = _read(decoded, declared_text=declared_text or value.startswith("data:text/"))
    if len(encoded) <= _SHORT and not file.text:
        return File(raw=value, strings=file.strings)
    return file


def write_file(value: str | bytes, text: str) -> str | bytes:
    """Return the field with ``text`` as its file, in the form that it had."""
    if isinstance(value, bytes):
        return text.encode()
    url = _DATA_URL.fullmatch(value)
    return (url[1] if url else "") + base64.b64encode(text.encode()).decode()


def read_bytes(value: bytes) -> str:
    """Return the readable content of any bytes: their text, or the readable pieces of them."""
    text = _as_text(value)
    return _strings(value) if text is None else text


def _read(data: bytes, *, declared_text: bool) -> File:
    text = _as_text(data)
    if text is None and declared_text:
        text = data.decode("latin-1")
    if text is not None:
        return File(text=text)
    is_known = data.startswith(_SIGNATURES) or data[8:12] in _FRAMED.get(data[:4], ()) or data[4:8] == b"ftyp"
    return File() if is_known else File(strings=_strings(data))


def _as_text(data: bytes) -> str | None:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    if b"\0" in data[:1024]:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _strings(data: bytes) -> str:
    return "\n".join(each.decode("ascii") for each in _STRINGS.findall(data) if each.strip())


def _decoded(text: str) -> bytes | None:
    if not _BASE64.fullmatch(text):
        return None
    try:
        plain = text.translate(_URL_SAFE).rstrip("=")
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


_URL_SAFE = str.maketrans("-_", "+/")
