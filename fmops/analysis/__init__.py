"""Embedding analysis: what people ask, how it changes, and what no document covers. docs/analysis.md explains it.

``reference`` fits once what windows are measured with, ``kernel`` turns rows into a mergeable ``state``,
``statistics`` compares states, ``findings`` says what changed in words and examples, and ``report`` shows it.
Embedded and Spark engines run the same kernel, which needs numpy only.
"""
