"""The published documents as ingestions left them: manifests and passages' vectors, read from the data lake.

Each ingestion writes a manifest below ``knowledge/manifests/``, and one object of vectors for each new version of a
document (``lambdas/ingestion``).
"""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from pydantic import BaseModel, ConfigDict

from fmops import json_lines
from fmops.analysis.lake import Lake
from fmops.analysis.reference import Array
from fmops.parallel import in_order

COMPLETE = "COMPLETE"


class ManifestDocument(BaseModel):
    """A document of a manifest. ``vectors`` is the key of its passages' vectors, None if it has none."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    title: str = ""
    etag: str = ""
    vectors: str | None = None


class Manifest(BaseModel):
    """The documents after one ingestion."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    job: str
    status: str
    completed_at: datetime
    embedding_model: str
    dimension: int
    documents: list[ManifestDocument] = []


@dataclass(frozen=True)
class Corpus:
    """The passages of all documents: unit vectors ``[c, d]``, and for each the place of its document in
    ``documents``, ``[c]``."""

    manifest: Manifest
    documents: list[ManifestDocument]
    vectors: Array
    owners: Array

    def __len__(self) -> int:
        return len(self.vectors)

    def of(self, place: int) -> Array:
        """Return the vectors of one document's passages, shape ``[p, d]``."""
        return np.asarray(self.vectors[self.owners == place])


@dataclass
class Documents:
    """The manifests of one deployment's lake. A corpus that was read once is kept."""

    lake: Lake
    prefix: str = "knowledge"
    _corpora: dict[str, Corpus] = field(default_factory=dict, repr=False)
    _keys: list[str] | None = field(default=None, repr=False)

    def at(self, moment: datetime) -> Manifest | None:
        """Return the manifest of the last ingestion that had completed by then; None before the first."""
        if self._keys is None:
            self._keys = sorted(key for key, _ in self.lake.list(f"{self.prefix}/manifests/"))
        # Keys begin with the time of completion, so the first one that is not later is the newest.
        for key in reversed(self._keys):
            if key.rsplit("/", 1)[-1][:16] > f"{moment:%Y%m%dT%H%M%SZ}":
                continue
            data = self.lake.read(key)
            manifest = Manifest.model_validate_json(data) if data else None
            if manifest is not None and manifest.status == COMPLETE and manifest.completed_at <= moment:
                return manifest
        return None

    def corpus(self, manifest: Manifest) -> Corpus:
        """Return the passages that a manifest names. Documents without vectors are left out."""
        if manifest.job not in self._corpora:
            self._corpora[manifest.job] = self._read(manifest)
        return self._corpora[manifest.job]

    def corpus_at(self, moment: datetime) -> Corpus | None:
        """Return the passages at a time; None before the first ingestion."""
        manifest = self.at(moment)
        return self.corpus(manifest) if manifest is not None else None

    def vectors_at(self, moment: datetime, model_id: str) -> Array | None:
        """Return the vectors of all passages at a time, shape ``[c, d]``; None without documents, or if another
        model embedded them."""
        corpus = self.corpus_at(moment)
        if corpus is None or corpus.manifest.embedding_model != model_id:
            return None
        return corpus.vectors if len(corpus) else None

    def _read(self, manifest: Manifest) -> Corpus:
        named = [(document, document.vectors) for document in manifest.documents if document.vectors]
        found: list[tuple[ManifestDocument, Array]] = []
        for (document, _), data in zip(
            named, in_order(self.lake.read, [key for _, key in named]), strict=True
        ):
            if data and len(rows := _vectors(data, manifest.dimension)):
                found.append((document, rows))
        counts = [len(rows) for _, rows in found]
        vectors = (
            np.concatenate([rows for _, rows in found])
            if found
            else np.zeros((0, manifest.dimension), np.float32)
        )
        return Corpus(
            manifest, [each for each, _ in found], vectors, np.repeat(np.arange(len(found)), counts)
        )


def _vectors(data: bytes, dimension: int) -> Array:
    """Return unit rows, shape ``[p, d]``; vectors of another dimension, or without a length, are left out."""
    lines = [json.loads(line)["vector"] for line in json_lines.split(gzip.decompress(data)) if line]
    rows = [np.frombuffer(base64.b64decode(line), "<f2").astype(np.float32) for line in lines]
    fitting = np.array([row for row in rows if len(row) == dimension], np.float32).reshape(-1, dimension)
    lengths = np.linalg.norm(fitting, axis=1)
    usable = np.isfinite(lengths) & (lengths > 0)
    return np.asarray(fitting[usable] / lengths[usable, None])
