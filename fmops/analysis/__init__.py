"""Embedding analysis: what people ask, how it changes, and what no document covers. docs/analysis.md explains
it.

``reference`` is fitted once and holds what windows are measured with, ``kernel`` turns rows into a mergeable
``state``, ``statistics`` compares states, ``findings`` describes what changed in words and examples, and
``report`` shows it. The embedded and the Spark engine run the same kernel, which needs only numpy.
"""
