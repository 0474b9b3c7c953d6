"""A job that reports its identity, or fails, or waits to be stopped, all of which the local AWS must report
as it is."""

from __future__ import annotations

import json
import os
import signal
import sys

import boto3

if __name__ == "__main__":
    print("arguments", json.dumps(sys.argv[1:]))
    if "--fail" in sys.argv:
        sys.exit(3)
    if "--wait" in sys.argv:
        print("waiting", flush=True)
        signal.pause()
    print("who", boto3.client("sts").get_caller_identity()["Arn"])
    print("names", json.dumps(sorted(name for name in os.environ if name.startswith(("FMOPS_", "AWS_")))))
