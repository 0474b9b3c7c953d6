"""Vectors of earlier runs are found again, and a file that cannot be used is the same as none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from local.detectors import vectors
from local.detectors.vectors import KeptVectors

ONE, TWO = np.arange(3, dtype=np.float32), np.ones(3, np.float32)


def test_what_one_process_keeps_another_finds(tmp_path: Path) -> None:
    path = tmp_path / "build" / "vectors.sqlite"
    first, second = KeptVectors(path), KeptVectors(path)
    first.keep({"one": ONE, "\ud800": TWO})
    second.keep({"one": ONE})
    found = second.find(["one", "two", "\ud800"])
    assert {text: list(vector) for text, vector in found.items()} == {"one": list(ONE), "\ud800": list(TWO)}
    assert b"one" not in path.read_bytes()  # texts are personal data


def test_another_model_has_other_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptVectors(tmp_path / "vectors.sqlite")
    kept.keep({"one": ONE})
    monkeypatch.setattr(vectors, "WEIGHTS_SHA256", "another")
    assert kept.find(["one"]) == {}


def test_the_file_does_not_grow_without_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "MOST", 2)
    kept = KeptVectors(tmp_path / "vectors.sqlite")
    kept.keep({"one": ONE, "two": TWO})
    kept.keep({"three": ONE})
    assert set(kept.find(["one", "two", "three"])) == {"three"}


def test_a_file_that_is_no_database_keeps_nothing(tmp_path: Path) -> None:
    path = tmp_path / "vectors.sqlite"
    path.write_bytes(b"not a database" * 100)
    kept = KeptVectors(path)
    kept.keep({"one": ONE})
    assert kept.find(["one"]) == {}


def test_a_folder_that_cannot_be_made_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "build").write_text("a file")
    kept = KeptVectors(tmp_path / "build" / "vectors.sqlite")
    kept.keep({"one": ONE})
    assert kept.find(["one"]) == {}
