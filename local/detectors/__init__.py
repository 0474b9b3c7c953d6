"""Stand-ins for the models behind Comprehend and Bedrock guardrails: good enough to run everything offline, no more.

They are patterns and nearest neighbours over a small sentence embedding. ``python -m local.detectors`` prints how much
they find of the labelled sentences in ``evaluation.yaml``, and how often they are wrong.
"""
