"""Stand-ins for the models behind Comprehend and Bedrock guardrails, just good enough to run everything
offline.

They are patterns and nearest neighbours over a small sentence embedding. ``python -m local.detectors`` prints
how many of the labelled sentences in ``evaluation.yaml`` they find, and how often they are wrong.
"""
