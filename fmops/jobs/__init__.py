"""Entry points of the batch jobs: `python -m fmops.jobs.<name>`, in the image of images/jobs.Dockerfile, on
SageMaker Processing.

A job takes its deployment from the environment and its task from its arguments. It prints its progress, which
is its log. When it fails, its exit code is not 0: the state machine's execution then fails too, and an alarm is
raised.
"""
