"""Starts the ingestions of a knowledge base, and checks what became of the documents."""

import os
from typing import Any

import boto3
import ingestion
from botocore.config import Config

CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=60)
clients = {name: boto3.client(name, config=CONFIG) for name in ingestion.SERVICES}


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer a batch of the queue with the messages that must come back, or a person with the job."""
    answer: dict[str, Any] = ingestion.Ingestion(os.environ, clients).handle(event)
    return answer
