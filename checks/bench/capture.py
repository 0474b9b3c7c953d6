"""The cost of capturing: records per second compared with one PutRecord each, and the time it adds
to a request.

The delivery stream is the local AWS's, over HTTP; both contenders write the same records to it in every round.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from checks.bench.report import absolute, entry, median_ratio, publish
from fmops.capture import FirehoseSink, Spool, encode
from fmops.interaction import Embedding, Interaction
from local.aws.kernel.cloud import Cloud
from local.aws.server import LocalAws

ROUNDS = 5
SINGLE = 100
BATCHED = 5_000


def record(number: int) -> Interaction:
    """Return an interaction of ordinary size: about four kilobytes with its embedding."""
    vector = [((number * 31 + index) % 97) / 97 for index in range(1024)]
    return Interaction(
        input="What is covered? " * 10,
        output="Water damage is. " * 30,
        embedding=Embedding.encode("m", vector),
    )


def main() -> int:
    records = [record(number) for number in range(BATCHED)]
    ours: list[float] = []
    single: list[float] = []
    request: list[float] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        LocalAws(port=0, enforce=False, directory=Path(directory), run_servers=False) as cloud,
    ):
        firehose = stream(cloud)
        for number in range(ROUNDS):
            lines = [encode(each) for each in records[:SINGLE]]
            began = time.perf_counter()
            for line in lines:
                firehose.put_record(DeliveryStreamName="bench", Record={"Data": line})
            single.append((time.perf_counter() - began) / SINGLE)

            sink = FirehoseSink(firehose, "bench", Spool(Path(directory) / f"spool-{number}"))
            began = time.perf_counter()
            for each in records:
                sink.put(each)
            request.append((time.perf_counter() - began) / BATCHED)
            if not sink.flush(timeout=120):
                print("the sink did not deliver everything in two minutes", file=sys.stderr)
                return 1
            ours.append((time.perf_counter() - began) / BATCHED)
            sink.close()
    publish(
        {
            "capture.vs_put_record": entry(
                median_ratio(single, ours), "ratio", ">= 20", "one PutRecord per record", ROUNDS
            ),
            "capture.request_us": entry(
                sorted(request)[ROUNDS // 2] * 1e6, "us", "<= 50", "no capture", ROUNDS
            ),
        },
        absolute("one record", {"sink": ours, "PutRecord": single}),
    )
    return 0


def stream(cloud: Cloud) -> Any:
    """Return a client, and the delivery stream ``bench`` into a bucket."""
    s3, iam, firehose = (cloud.client(name) for name in ("s3", "iam", "firehose"))
    s3.create_bucket(Bucket="bench")
    trust = (
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",'
        '"Principal":{"Service":"firehose.amazonaws.com"},"Action":"sts:AssumeRole"}]}'
    )
    role = iam.create_role(RoleName="bench", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    destination = {"RoleARN": role, "BucketARN": "arn:aws:s3:::bench", "Prefix": "interactions/"}
    firehose.create_delivery_stream(
        DeliveryStreamName="bench", ExtendedS3DestinationConfiguration=destination
    )
    return firehose


if __name__ == "__main__":
    sys.exit(main())
