"""Text of documents, by the content type of their objects: Bedrock's default parser, which reads text only.

Parsers are imported when the first document of their kind is read.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
NOT_PARSED_HERE = {
    "application/msword": "DOC",
    "application/vnd.ms-excel": "XLS",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "XLSX",
}
"""Content types that Bedrock reads and that nothing here does."""
UNNAMED = ("application/octet-stream", "binary/octet-stream")
"""Content types of uploads without one. Bedrock indexes such an object without text, and reports nothing."""
INVISIBLE = "script, style, template, noscript"
BLOCKS = (
    "address, article, aside, blockquote, br, dd, div, dl, dt, figcaption, figure, footer, form, h1, h2, h3, h4, h5,"
    " h6, header, hr, li, main, nav, ol, option, p, pre, section, summary, table, td, th, title, tr, ul"
)
BREAK = "\x1e"  # a line end of the source is a space to a reader, and the border of a block is a line end


@dataclass(frozen=True)
class Page:
    """A page of a PDF by its number from 0, or the whole of another document."""

    text: str
    number: int | None = None


class UnsupportedType(Exception):  # noqa: N818 - an answer
    """A content type that Bedrock ignores."""


class UnreadableDocument(Exception):  # noqa: N818 - an answer
    """A document that has no text for the parser, with the reason."""


def parse(body: Callable[[], bytes], content_type: str) -> list[Page]:
    """Return the text of an object. ``body`` is called only for a type that is read.

    Raises UnsupportedType and UnreadableDocument.
    """
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    if kind in UNNAMED:
        return []
    if kind in NOT_PARSED_HERE:
        raise UnreadableDocument(f"the local AWS has no parser of {NOT_PARSED_HERE[kind]} files")
    if kind not in PARSERS:
        raise UnsupportedType(kind)
    try:
        return PARSERS[kind](body(), _charset(parameters))
    except UnreadableDocument:
        raise
    except Exception as error:  # whatever a parser raises about a broken file
        raise UnreadableDocument(
            f"the file is corrupt or of another type ({type(error).__name__})"
        ) from error


def _charset(parameters: str) -> str | None:
    name, _, value = parameters.strip().partition("=")
    return value.strip("\"' ") or None if name.strip().lower() == "charset" else None


def _decoded(body: bytes, charset: str | None) -> str:
    """Text in its charset, else in UTF-8, else in Windows-1252, which reads anything."""
    for each in (charset, "utf-8-sig"):
        try:
            if each:
                return body.decode(each)
        except (LookupError, UnicodeDecodeError):
            continue
    return body.decode("cp1252", errors="replace")


def _text(body: bytes, charset: str | None) -> list[Page]:
    return [Page(_decoded(body, charset))]


def _html(body: bytes, charset: str | None) -> list[Page]:
    """All text of a page that is no code. Text that CSS hides is there: the parser knows no CSS."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(_decoded(body, charset))
    for node in tree.css(INVISIBLE):
        node.decompose()
    for node in tree.css(BLOCKS):
        node.insert_before(BREAK)
        node.insert_after(BREAK)
    lines = (" ".join(each.split()) for each in (tree.root.text() if tree.root else "").split(BREAK))
    return [Page("\n".join(line for line in lines if line))]


def _pdf(body: bytes, _: str | None) -> list[Page]:
    from pypdf import PdfReader

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what is wrong with a file is in the job's reasons
    reader = PdfReader(io.BytesIO(body))
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableDocument("the file is encrypted with a password")
    return [Page(page.extract_text(), number) for number, page in enumerate(reader.pages)]


def _word(body: bytes, _: str | None) -> list[Page]:
    from docx import Document
    from docx.table import Table

    def lines(container: Any) -> list[str]:
        found = []
        for each in container.iter_inner_content():
            if isinstance(each, Table):
                found += ["\t".join("\n".join(lines(cell)) for cell in row.cells) for row in each.rows]
            else:
                found.append(each.text)
        return found

    return [Page("\n".join(lines(Document(io.BytesIO(body)))))]


PARSERS: dict[str, Callable[[bytes, str | None], list[Page]]] = {
    "application/pdf": _pdf,
    WORD: _word,
    "text/html": _html,
    "text/plain": _text,
    "text/markdown": _text,
    "text/csv": _text,
}
