"""Mutations of an attack's text. They compose: ``fullwidth+base64`` is full-width letters in base64."""

from __future__ import annotations

import base64
import codecs
import html
import urllib.parse
from collections.abc import Callable

Mutation = Callable[[str], str]

_LOOKALIKES = str.maketrans("aceopxyiABCEHKMOPTX", "асеорхуіАВСЕНКМОРТХ")  # noqa: RUF001 - that is the attack
_SMALL_CAPS = str.maketrans("abcdefghijklmnoprstuvwz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡᴢ")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _fullwidth(text: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text)


def _bold(text: str) -> str:
    """Replace letters and digits by mathematical bold ones."""
    bases = (("a", "z", 0x1D41A), ("A", "Z", 0x1D400), ("0", "9", 0x1D7CE))
    return "".join(
        next((chr(base + ord(sign) - ord(low)) for low, high, base in bases if low <= sign <= high), sign)
        for sign in text
    )


def _tags(text: str) -> str:
    """Hide the text in invisible tag characters behind a harmless question."""
    return "Good morning. " + "".join(chr(0xE0000 + ord(sign)) for sign in text if ord(sign) < 0x80)


def _variation(text: str) -> str:
    """Hide the text's bytes in variation selectors behind a smiley."""
    selectors = (chr(0xFE00 + byte) if byte < 16 else chr(0xE0100 + byte - 16) for byte in text.encode())
    return "Good morning \U0001f600" + "".join(selectors)


def _between(sign: str) -> Mutation:
    return lambda text: sign.join(text)


ENCODINGS: dict[str, Mutation] = {
    "base64": _base64,
    "hex": lambda text: text.encode().hex(),
    "rot13": lambda text: codecs.encode(text, "rot13"),
    "url": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "html": lambda text: "".join(f"&#{ord(sign)};" for sign in text),
    "escaped": lambda text: html.escape(urllib.parse.quote(text)),
}
SCRIPTS: dict[str, Mutation] = {
    "fullwidth": _fullwidth,
    "lookalikes": lambda text: text.translate(_LOOKALIKES),
    "small_caps": lambda text: text.lower().translate(_SMALL_CAPS),
    "bold": _bold,
    "override": lambda text: "\u202e" + text[::-1] + "\u202c",
}
HIDDEN: dict[str, Mutation] = {
    "tags": _tags,
    "variation": _variation,
    "zero_width": _between("\u200b"),
    "soft_hyphens": _between("\u00ad"),
    "joiners": _between("\u2060"),
    "accents": _between("\u0335"),
}
MUTATIONS = ENCODINGS | SCRIPTS | HIDDEN
KINDS = {
    **dict.fromkeys(ENCODINGS, "encoding"),
    **dict.fromkeys(SCRIPTS, "script"),
    **dict.fromkeys(HIDDEN, "hidden"),
    "": "plain",
}
"""The kind of each mutation, for the report."""


def mutate(text: str, name: str) -> str:
    """Return ``text`` after the mutations that ``name`` lists, such as ``fullwidth+base64``; none for
    the empty name."""
    for each in filter(None, name.split("+")):
        text = MUTATIONS[each](text)
    return text


def kind(name: str) -> str:
    """Return the kind of a mutation; if several compose, that of the last one."""
    return KINDS[name.rpartition("+")[2]]
