"""Entry points of the batch jobs: `python -m fmops.jobs.<name>`, in the image of images/jobs.Dockerfile, on
SageMaker Processing.

A job takes its deployment from the environment and what to do from its arguments. It prints its progress, which is
its log, and ends with another exit code than 0 when it failed: the state machine's execution then fails too, and an
alarm rings.
"""
