"""Drafted documents: from a gap that the analysis found to a document that a person has edited and published.

A model writes the draft, from reviewers' corrections and the nearest documents. Nothing is published without a person.
"""
