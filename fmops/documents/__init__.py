"""Documents that people publish for the assistant: read a folder of them, and check each before it leaves.

Importing it needs the standard library and PyYAML only, since synthesis checks the agent's documents with it.
``fmops.documents.publishing`` copies a folder to the bucket that a knowledge base reads.
"""

from fmops.documents.folder import DocumentFile, DocumentsError, Refusal, read
from fmops.documents.header import Header
from fmops.documents.sidecar import PREFIX, audience

__all__ = ["PREFIX", "DocumentFile", "DocumentsError", "Header", "Refusal", "audience", "read"]
