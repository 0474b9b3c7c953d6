"""A folder of documents is read as people keep it, and all that cannot be published is named at once."""

from __future__ import annotations

import json
import unicodedata
import zipfile
from pathlib import Path

import pytest
from pypdf import PdfWriter

from fmops.documents import DocumentsError, folder, read
from tests.documents.pdf import pdf

HEADER = "title: A\nclassification: public\n"


def write(at: Path, name: str, data: str | bytes, header: str | None = None) -> Path:
    path = at / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    if header is not None:
        path.with_name(path.name + ".yaml").write_text(header)
    return path


def refusals(at: Path) -> dict[str, str]:
    with pytest.raises(DocumentsError) as refused:
        read(at)
    return {each.file: str(each) for each in refused.value.refusals}


def test_each_type_becomes_a_document_with_its_key_type_and_sidecar(tmp_path: Path) -> None:
    write(tmp_path, "theft.md", 'title: "Theft: bicycles"\nclassification: public\n---\nCovered.\n')
    write(
        tmp_path, "guides/hail 2026.pdf", pdf("Hail"), "title: Hail\nclassification: internal\nregion: no\n"
    )
    write(tmp_path, "Überschwemmung.html", "<p>Water</p>", HEADER)
    write(tmp_path, "洪水.TXT", "Water".encode("utf-16"), HEADER)
    with zipfile.ZipFile(tmp_path / "letter.docx", "w") as archive:
        archive.writestr("word/document.xml", "<w:document/>")
    (tmp_path / "letter.docx.yaml").write_text(HEADER)
    for hidden in (".git/config.md", ".DS_Store", "~$letter.docx", "Thumbs.db"):
        write(tmp_path, hidden, "x")

    found = {each.id: each for each in read(tmp_path)}

    assert sorted(found) == ["guides/hail 2026", "letter", "theft", "Überschwemmung", "洪水"]
    assert found["theft"].body() == b"Covered."
    assert found["洪水"].body() == b"Water"
    hail = found["guides/hail 2026"]
    assert (hail.key, hail.content_type) == ("documents/guides/hail 2026.pdf", "application/pdf")
    assert hail.sidecar_key == "documents/guides/hail 2026.pdf.metadata.json"
    assert hail.sidecar() == (
        b'{"metadataAttributes":{"audience":"staff-no","classification":"internal","document":"guides/hail 2026",'
        b'"region":"no","source":"guides/hail 2026.pdf","title":"Hail"}}'
    )
    assert json.loads(found["theft"].sidecar())["metadataAttributes"] == {
        "audience": "public",
        "classification": "public",
        "document": "theft",
        "source": "theft.md",
        "title": "Theft: bicycles",
    }


def test_names_are_in_the_composed_form(tmp_path: Path) -> None:
    write(tmp_path, unicodedata.normalize("NFD", "Übersicht.md"), f"---\n{HEADER}---\nText")
    (document,) = read(tmp_path)
    assert document.key == unicodedata.normalize("NFC", "documents/Übersicht.md")


def test_every_refusal_is_named_at_once_with_size_reason_and_remedy(tmp_path: Path) -> None:
    encrypted = PdfWriter()
    encrypted.add_blank_page(100, 100)
    encrypted.encrypt("secret")
    with (tmp_path / "locked.pdf").open("wb") as stream:
        encrypted.write(stream)
    (tmp_path / "locked.pdf.yaml").write_text(HEADER)
    write(tmp_path, "scan.pdf", pdf(""), HEADER)
    write(tmp_path, "cut.pdf", pdf("Text")[:200], HEADER)
    write(tmp_path, "no header.pdf", pdf("Text"))
    write(tmp_path, "orphan.pdf.yaml", HEADER)
    write(tmp_path, "table.xyz", "a")
    write(tmp_path, "empty.md", "")
    write(tmp_path, "only header.md", f"{HEADER}---\n \n")
    write(tmp_path, "plain.md", "Just text")
    write(tmp_path, "no class.md", "title: A\n---\ntext")
    write(tmp_path, "twice.md", f"{HEADER}classification: internal\n---\ntext")
    write(tmp_path, "colon.md", "title: A: b\nclassification: public\n---\ntext")
    write(tmp_path, "list.md", "- a\n---\ntext")
    write(tmp_path, "nested.md", f"{HEADER}region: [a]\n---\ntext")
    write(tmp_path, "field.md", f"{HEADER}owner: me\n---\ntext")
    write(tmp_path, "latin.txt", "Größe".encode("latin-1"), HEADER)
    write(tmp_path, "old.docx", b"\xd0\xcf\x11\xe0", HEADER)
    write(tmp_path, "a.txt", "text", HEADER)
    write(tmp_path, "A.md", f"{HEADER}---\ntext")
    write(tmp_path, "long.md", f"title: {'x' * 1000}\nclassification: public\n---\ntext")
    write(tmp_path, "good.md", f"{HEADER}---\ntext")

    found = refusals(tmp_path)

    said = {
        "locked.pdf": "encrypted",
        "scan.pdf": "has no text",
        "cut.pdf": "cannot be read as a PDF",
        "no header.pdf": "write 'no header.pdf.yaml' beside it",
        "orphan.pdf.yaml": "header of 'orphan.pdf', which is not there",
        "table.xyz": "the type .xyz is not supported",
        "empty.md": "(0 bytes): it is empty",
        "only header.md": "no text below its header",
        "plain.md": "it has no header",
        "no class.md": "the header has no classification",
        "twice.md": "'classification' twice",
        "colon.md": "in quotes",
        "list.md": "no list of names with values",
        "nested.md": "line 3 is no text",
        "field.md": "unknown field 'owner'",
        "latin.txt": "save it as UTF-8",
        "old.docx": "without a password",
        "a.txt": "its id is that of 'A.md'",
        "long.md": "as a sidecar, of which Bedrock reads 1,024",
    }
    assert sorted(found) == sorted(said)
    for file, words in said.items():
        assert words in found[file], file
        assert "bytes)" in found[file] and ". Remedy: " in found[file]


def test_a_sidecar_is_measured_as_it_is_stored(tmp_path: Path) -> None:
    """1,024 bytes of UTF-8 pass, and one more does not, though the text has fewer characters."""
    empty = len(
        '{"metadataAttributes":{"audience":"public","classification":"public","document":"a","source":"a.md","title":""}}'
    )
    for length in (1024, 1025):
        title = "ä" * ((length - empty) // 2) + "x" * ((length - empty) % 2)
        write(tmp_path, "a.md", f"title: {title}\nclassification: public\n---\ntext")
        if length == 1024:
            assert len(read(tmp_path)[0].sidecar()) == length
    assert "1,025 bytes" in refusals(tmp_path)["a.md"]


def test_a_file_over_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with write(tmp_path, "large.txt", "text", HEADER).open("ab") as stream:
        stream.truncate(folder.MAXIMUM_FILE_BYTES + 1)
    assert "50,000,001" in refusals(tmp_path)["large.txt"]


def test_an_empty_or_missing_folder_is_refused(tmp_path: Path) -> None:
    """Publishing it would remove every document."""
    assert "holds no document" in refusals(tmp_path)[str(tmp_path)]
    assert "no such folder" in refusals(tmp_path / "gone")[str(tmp_path / "gone")]


def test_a_file_that_changes_while_it_is_published_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.md", f"{HEADER}---\ntext")
    (document,) = read(tmp_path)
    path.write_text("title: A\nclassification: internal\n---\nsecret")
    with pytest.raises(DocumentsError, match="changed while it was published"):
        document.body()
