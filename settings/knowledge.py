"""Settings of the documents that the assistant answers from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from settings.kinds import Pattern, Section

DIMENSION = 1024
"""Numbers in an embedding: what the index of the knowledge base takes."""
OTHER_DIMENSIONS = {"amazon.titan-embed-text-v1": 1536}
"""Numbers in the embeddings of models that cannot make 1,024 (Bedrock User Guide, "Supported models and regions for
Amazon Bedrock knowledge bases")."""


class Knowledge(Section):
    """The documents that the assistant answers from (docs/knowledge.md)."""

    documents: Literal["knowledge_base", "packaged"] = "knowledge_base"
    """Place of the documents. `knowledge_base`: a bucket that people publish to, indexed by Bedrock.
    `packaged`: the Markdown files in the image, so that a new document needs a new image."""
    chunk_tokens: Annotated[int, Field(ge=20, le=1500)] = 300
    """Maximum tokens of a chunk, the part of a document that is embedded and found as one. A change embeds all
    documents again."""
    chunk_overlap_percent: Annotated[int, Field(ge=1, le=99)] = 20
    """Share of a chunk, in percent, that the next one repeats. A change embeds all documents again."""
    batch_window_seconds: Annotated[int, Field(ge=0, le=300)] = 20
    """Seconds for which changed documents are collected before an ingestion starts, since only one can run at a
    time."""
    nightly: Annotated[str, Pattern(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] = "02:30"
    """Time in UTC of the nightly ingestion, which finds what no event told of."""
    minimum_similarity: Annotated[float, Field(ge=0, le=1)] = 0
    """Similarity to the question, from 0 to 1, below which a chunk is not given to the model. 0 gives it all
    that are found."""

    @property
    def has_base(self) -> bool:
        """Return whether the documents are in a knowledge base."""
        return self.documents == "knowledge_base"

    def fault_of(self, embedding_model_id: str) -> str | None:
        """Return why the index cannot take a model's embeddings, with the remedy; None if it can."""
        made = OTHER_DIMENSIONS.get(embedding_model_id.partition(":")[0])
        if not self.has_base or made is None:
            return None
        return (
            f"assistant.embedding_model_id is {embedding_model_id}, which makes {made:,} numbers, but the index of the "
            f"knowledge base takes {DIMENSION:,}: set amazon.titan-embed-text-v2:0, or knowledge.documents to packaged"
        )

    @model_validator(mode="after")
    def _check(self) -> Knowledge:
        if not self.has_base and (given := sorted(self.model_fields_set - {"documents"})):
            raise ValueError(
                f"{given[0]} has no use with documents 'packaged': set documents to 'knowledge_base', or leave it out"
            )
        return self
