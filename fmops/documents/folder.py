"""A folder of documents, as people keep it: read with every refusal at once, before anything leaves this machine."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fmops import written
from fmops.documents import header as headers
from fmops.documents import types
from fmops.documents.header import Header, HeaderError
from fmops.documents.sidecar import MAXIMUM_BYTES, PREFIX, SUFFIX, sidecar
from fmops.documents.types import TypeRefusedError as Refused

MAXIMUM_FILE_BYTES = 50_000_000
"""Largest file that a knowledge base reads: 50 MB (Bedrock User Guide, "Prerequisites for your Amazon Bedrock knowledge
base data")."""
BESIDE = ".yaml"
"""Extension of the file that holds the header of ``<file>``, for every type but Markdown."""
SYSTEM = ("~$", "Thumbs.db", "desktop.ini", "__MACOSX")
"""Beginnings of the names of files that systems and office programs leave behind."""


@dataclass(frozen=True)
class Refusal:
    """A file that cannot be published: its path below the folder, its size in bytes, why, and what to do."""

    file: str
    size: int
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file} ({self.size:,} bytes): {self.reason}. Remedy: {self.remedy}."


class DocumentsError(ValueError):
    """Documents cannot be published; the message lists every refusal, one a line."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__("\n".join(map(str, refusals)))
        self.refusals = list(refusals)


@dataclass(frozen=True)
class DocumentFile:
    """A document that can be published. Its body stays on disk until ``body`` reads it."""

    path: Path
    source: str
    """Path below the published folder, in Unicode's composed form (NFC), with ``/``."""
    header: Header
    digest: str
    """SHA-256 of the body, in hexadecimal."""

    @property
    def id(self) -> str:
        """Path below the published folder without its extension."""
        return self.source.removesuffix(_extension(self.source, exact=True))

    @property
    def key(self) -> str:
        """Key of the document's object."""
        return PREFIX + self.source

    @property
    def sidecar_key(self) -> str:
        """Key of the sidecar's object."""
        return self.key + SUFFIX

    @property
    def extension(self) -> str:
        """Extension in lower case, such as ``.pdf``."""
        return _extension(self.source)

    @property
    def content_type(self) -> str:
        """Content type of the body, by which Bedrock chooses a parser."""
        return types.CONTENT_TYPES[self.extension]

    def sidecar(self) -> bytes:
        """Return the serialized sidecar."""
        return sidecar(self.header, self.id, self.source)

    def body(self) -> bytes:
        """Return what is published: the text below the header of Markdown, the file itself of any other type.

        Raises ``DocumentsError`` for a file that was changed since the folder was read.
        """
        body, _ = _parts(self.path, self.extension)
        if hashlib.sha256(body).hexdigest() != self.digest:
            raise DocumentsError(
                [Refusal(self.source, len(body), "it was changed while it was published", "publish again")]
            )
        return body


def read(folder: Path) -> list[DocumentFile]:
    """Return the documents of a folder and its subfolders, in the order of their ids. Hidden files are passed over.

    Raises ``DocumentsError``, which holds all refusals at once.
    """
    paths = list(_files(folder))
    refusals: list[Refusal] = []
    files: list[DocumentFile] = []
    there = set(paths)
    for path in paths:
        if path.suffix.lower() == BESIDE and path.with_suffix("") in there:
            continue
        try:
            files.append(_document(path, folder))
        except (HeaderError, Refused) as error:
            refusals.append(Refusal(_source(path, folder), _size(path), error.reason, error.remedy))
    refusals += _collisions(files)
    if refusals:
        raise DocumentsError(sorted(refusals, key=lambda each: each.file))
    if not files:
        remedy = f"name a folder with documents ({', '.join(types.CONTENT_TYPES)})"
        raise DocumentsError([Refusal(str(folder), 0, "the folder holds no document", remedy)])
    return sorted(files, key=lambda each: each.id)


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise DocumentsError(
            [Refusal(str(folder), 0, "there is no such folder", "name a folder with documents")]
        )
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not _ignored(name))
        yield from (Path(at) / name for name in sorted(names) if not _ignored(name))


def _ignored(name: str) -> bool:
    return name.startswith((".", *SYSTEM))


def _document(path: Path, folder: Path) -> DocumentFile:
    """Return a file as a document. Raises ``HeaderError`` and ``TypeRefusedError``."""
    source = _source(path, folder)
    extension = _extension(source)
    if extension == BESIDE:
        name = path.with_suffix("").name
        raise Refused(f"it is the header of {name!r}, which is not there", "remove it, or add that document")
    if extension not in types.CONTENT_TYPES:
        supported = ", ".join(types.CONTENT_TYPES)
        raise Refused(
            f"the type {extension or 'without extension'} is not supported", f"save it as {supported}"
        )
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in source):
        raise Refused("its name holds a control character", "rename it")
    if (size := _size(path)) > MAXIMUM_FILE_BYTES:
        raise Refused(f"it is over {MAXIMUM_FILE_BYTES:,} bytes", f"split it; it has {size:,}")
    body, header = _parts(path, extension)
    if not body:
        raise Refused("it has no text below its header", "write it, or remove the file")
    types.check(extension, body)
    document = DocumentFile(path, source, header, hashlib.sha256(body).hexdigest())
    if (length := len(document.sidecar())) > MAXIMUM_BYTES:
        raise HeaderError(
            f"its header and name take {length:,} bytes as a sidecar, of which Bedrock reads {MAXIMUM_BYTES:,}",
            "shorten the title, the name or the folders' names",
        )
    return document


def _parts(path: Path, extension: str) -> tuple[bytes, Header]:
    """Return a file's body and its header."""
    try:
        data = path.read_bytes()
        if not data.strip():
            raise Refused("it is empty", "write its text, or remove the file")
        text = written.decode(data, path.name) if extension in types.TEXT else ""
        if extension == ".md":
            head, body = headers.split(text)
            return body.encode(), headers.parse(head)
        return text.encode() if text else data, _header_beside(path)
    except OSError as error:
        raise Refused(f"it cannot be read ({error.strerror})", "correct its permissions") from None
    except written.UnreadableFileError:
        raise Refused("it is no text in UTF-8", "save it as UTF-8") from None


def _header_beside(path: Path) -> Header:
    beside = path.with_name(path.name + BESIDE)
    try:
        return headers.parse(written.read(beside))
    except written.UnreadableFileError:
        raise HeaderError(
            "it has no header", f"write {beside.name!r} beside it, with {headers.EXAMPLE}"
        ) from None


def _collisions(files: Sequence[DocumentFile]) -> Iterator[Refusal]:
    """Find documents whose ids differ by case, or whose files differ by extension only."""
    seen: dict[str, DocumentFile] = {}
    for file in files:
        first = seen.setdefault(file.id.casefold(), file)
        if first is not file:
            reason = f"its id is that of {first.source!r}, apart from upper and lower case"
            yield Refusal(file.source, _size(file.path), reason, "rename one of the two")


def _source(path: Path, folder: Path) -> str:
    # A name that is not UTF-8 holds lone surrogates, which are refused later.
    return unicodedata.normalize("NFC", path.relative_to(folder).as_posix())


def _extension(source: str, *, exact: bool = False) -> str:
    extension = os.path.splitext(source)[1]  # noqa: PTH122 - of a key, not of a path
    return extension if exact else extension.lower()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
