"""Types of documents: the content type by which Bedrock chooses a parser, and what makes a file unreadable for it."""

from __future__ import annotations

import io
import logging
import zipfile

CONTENT_TYPES = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".html": "text/html",
    ".md": "text/markdown",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
}
"""Content type of each supported extension."""
TEXT = (".md", ".txt")
"""Extensions whose files are stored as UTF-8, whatever their editor wrote."""


class TypeRefusedError(ValueError):
    """The file's content is not what its type promises; ``remedy`` says what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}")
        self.reason = reason
        self.remedy = remedy


def check(extension: str, data: bytes) -> None:
    """Raise ``TypeRefusedError`` for a file from which the default parser would take no text."""
    if extension == ".pdf":
        _check_pdf(data)
    elif extension == ".docx":
        _check_docx(data)


def _check_pdf(data: bytes) -> None:
    # Imported here: synthesis needs it only for a folder with a PDF.
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    # It would note what it repairs, without the file's name.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted:
            raise TypeRefusedError("the PDF is encrypted", "save it without a password")
        if any(page.extract_text().strip() for page in reader.pages):
            return
    # pypdf raises these too for files that are cut off or malformed.
    except (PyPdfError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, TypeRefusedError):
            raise
        raise TypeRefusedError("it cannot be read as a PDF", "export it again from its source") from None
    raise TypeRefusedError(
        "the PDF has no text, as a scan without text recognition has none", "run text recognition (OCR) on it"
    )


def _check_docx(data: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.getinfo("word/document.xml")
    except (zipfile.BadZipFile, KeyError):
        raise TypeRefusedError(
            "it is no Word document, or it is encrypted", "save it as .docx without a password"
        ) from None
