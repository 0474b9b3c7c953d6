"""Checkpoints of turns that wait for a human, in DynamoDB, so that a restart between question and approval
loses nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph_checkpoint_aws.checkpoint.dynamodb import DynamoDBSaver

INTERRUPT = "__interrupt__"
"""LangGraph's channel for the interrupts that a node waits for."""


@dataclass
class _Held:
    """Everything that a run would have stored."""

    checkpoint: tuple[Any, ...] | None = None
    writes: list[tuple[Any, ...]] = field(default_factory=list)


class WaitingRuns(DynamoDBSaver):  # type: ignore[misc] # the package has no types
    """Store a run only if it waits for a human: all other turns cost no call and leave no conversation behind.

    A run within ``unless_done`` is held in memory and stored when it is interrupted; run it with
    ``durability="exit"``. Outside of it, as when a run is resumed, every step is stored.
    """

    def __init__(self, table: str, session: boto3.Session, config: Config, *, keep_seconds: int) -> None:
        super().__init__(
            table,
            session=session,
            boto_config=config,
            ttl_seconds=keep_seconds,
            # An item holds at most 400 KB, too little for long conversations without compression.
            enable_checkpoint_compression=True,
        )
        self._held: dict[str, _Held] = {}

    @contextmanager
    def unless_done(self, thread_id: str) -> Iterator[None]:
        """Hold the run of a new thread until it is interrupted, and discard it if it ends otherwise."""
        self._held[thread_id] = _Held()
        try:
            yield
        finally:
            del self._held[thread_id]

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        held = self._held.get(_thread(config))
        if held is None:
            stored: RunnableConfig = super().put(config, checkpoint, metadata, new_versions)
            return stored
        held.checkpoint = (config, checkpoint, metadata, new_versions)
        return {"configurable": {**config["configurable"], "checkpoint_id": checkpoint["id"]}}

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        held = self._held.get(_thread(config))
        if held is None:
            super().put_writes(config, writes, task_id, task_path)
            return
        held.writes.append((config, writes, task_id, task_path))
        if any(channel == INTERRUPT for _, each, *_ in held.writes for channel, _ in each):
            if held.checkpoint:
                super().put(*held.checkpoint)
                held.checkpoint = None
            while held.writes:
                super().put_writes(*held.writes.pop(0))
            # Later writes, such as those of a task that ended later, belong to the stored run.
            held.writes = []

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        if _thread(config) in self._held:
            return self.put(config, checkpoint, metadata, new_versions)
        stored: RunnableConfig = await super().aput(config, checkpoint, metadata, new_versions)
        return stored

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        if _thread(config) in self._held:
            return None
        found: CheckpointTuple | None = await super().aget_tuple(config)
        return found


def _thread(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])
