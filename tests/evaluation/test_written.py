"""Files that people write are read in any encoding that an editor may choose, or refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fmops.evaluation.__main__ import main
from fmops.evaluation.cases import Case, DatasetError, load
from fmops.prompts import packaged
from fmops.written import UnreadableFileError, read

CASE = {
    "case_id": "a-1",
    "kind": "answer",
    "caller": "carla",
    "question": "Für wen?",
    "expected": {"facts": ["ä"]},
}
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_golden_cases_are_read(encoding: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "golden cases.jsonl"
    path.write_bytes((json.dumps(CASE, ensure_ascii=False) + end).encode(encoding))
    assert [case.question for case in load(path, Case)] == ["Für wen?"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_prompt_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "system.md"
    path.write_bytes("Answer kindly.\r\nIt is {{today}}.".encode(encoding))
    assert packaged("p", path).template == "Answer kindly.\nIt is {{today}}."


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("missing.jsonl", "does not exist: name a file that does"),
        ("folder", "is a folder: name a file in it"),
        ("latin.jsonl", "is not text in UTF-8 (byte 1 is not part of any character): save it as UTF-8"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_remedy(name: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.jsonl").write_bytes("Für".encode("latin-1")[:2] + b"\xfcr wen")
    with pytest.raises(UnreadableFileError) as refused:
        read(tmp_path / name)
    assert str(refused.value).endswith(sentence)
    with pytest.raises(DatasetError) as failed:
        load(tmp_path / name, Case)
    assert str(failed.value) == str(refused.value)


@pytest.mark.parametrize("command", [["check"], ["register"]])
def test_the_command_line_says_it_in_a_sentence(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fmops.evaluation.__main__._registry", lambda _: None)
    assert main([*command, str(tmp_path / "missing")]) == 2
    assert "does not exist" in capsys.readouterr().err
