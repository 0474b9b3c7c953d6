"""``make documents``: publish 1,000 PDF documents of ten pages twice, then drop three that cannot be found.

It deploys the Knowledge stack into a local AWS. The second time, publishing must change nothing. The job over the three
bad ones ends as COMPLETE; the alarm must name each of them all the same.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from rich.console import Console
from rich.table import Table

from checks.documents.pdf import pdf
from fmops.deployment import Deployment
from fmops.documents import PREFIX, read
from fmops.documents.publishing import plan, publish
from local.aws.server import LocalAws
from local.run.deploy import deploy
from local.run.synthesis import synthesize
from local.run.up import LOG_WIDTH, use_as_environment
from ops.publish import Knowledge

FOLDER = Path("build/documents")
WORDS = (
    "water damage roof storm theft bicycle deductible claim adjuster limit country travel hail payment region form"
).split()
WORDS_PER_PAGE = 50


def main() -> int:
    """Run the check. Return 1 if something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m checks.documents", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="number of documents (default 1000)")
    parser.add_argument("--pages", type=int, default=10, help="pages of each document (default 10)")
    parser.add_argument("--profile", default="dev", help="profile of cdk.json, with a knowledge base")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else LOG_WIDTH)
    folder = FOLDER / "folder"
    shutil.rmtree(FOLDER, ignore_errors=True)
    folder.mkdir(parents=True)
    with console.status(f"writing {options.count} PDF documents"):
        for number in range(options.count):
            write_pdf(folder, number, options.pages)
    with deployed(options.profile, console) as knowledge:
        run = Run(knowledge, folder, console)
        run.first(options.count)
        run.second()
        run.bad()
    console.print(run.table)
    for each in run.problems:
        console.print(f"[red]✗[/] {each}")
    return 1 if run.problems else 0


class Run:
    """The steps, with their figures."""

    def __init__(self, knowledge: Knowledge, folder: Path, console: Console) -> None:
        self._knowledge, self._folder, self._console = knowledge, folder, console
        self.problems: list[str] = []
        self.table = Table(title="Documents")
        for column in ("step", "outcome", "seconds", "peak MiB"):
            self.table.add_column(column, justify="left" if column in ("step", "outcome") else "right")

    def first(self, count: int) -> None:
        """Publish everything, and wait until it is indexed."""
        with self._step("read and check the folder") as told:
            files = read(self._folder)
            told.append(f"{len(files)} documents")
        with self._step("publish") as told:
            planned = plan(files, self._knowledge.s3, self._knowledge.bucket)
            publish(planned, self._knowledge.s3, self._knowledge.bucket)
            told.append(f"{len(planned.changes)} written")
        with self._step("ingest") as told:
            manifest = self._knowledge.follow(self._knowledge.ingest())
            chunks = sum(each["chunks"] for each in manifest["documents"])
            told.append(f"{manifest['status']}: {len(manifest['documents'])} documents, {chunks} passages")
        self._expect(
            manifest["status"] == "COMPLETE" and not manifest["problems"],
            f"problems: {manifest['problems'][:3]}",
        )
        self._expect(
            len(manifest["documents"]) == count, f"{len(manifest['documents'])} documents are indexed"
        )

    def second(self) -> None:
        """Publish the same folder again."""
        with self._step("publish again") as told:
            planned = plan(read(self._folder), self._knowledge.s3, self._knowledge.bucket)
            told.append(
                f"{len(planned.changes)} written, {len(planned.removed)} removed, {planned.unchanged} unchanged"
            )
        self._expect(not planned.changes and not planned.removed, "publishing again changes something")
        with self._step("ingest again") as told:
            statistics = self._knowledge.follow(self._knowledge.ingest())["statistics"]
            changed = {name: n for name, n in statistics.items() if n and not name.endswith("Scanned")}
            told.append(f"changed: {changed or 'nothing'}")
        self._expect(not changed, f"the second ingestion changed {changed}")

    def bad(self) -> None:
        """Drop what publishing would refuse, as somebody may with the console."""
        sidecar = {
            "metadataAttributes": {"audience": "public", "classification": "public", "title": "A title"}
        }
        long = {"metadataAttributes": {**sidecar["metadataAttributes"], "title": "long " * 250}}
        dropped = {
            "bad/long title.pdf": (pdf("Some text."), "application/pdf", long),
            "bad/slides.pptx": (b"PK slides", "application/vnd.ms-powerpoint", sidecar),
            "bad/scan.pdf": (pdf(""), "application/pdf", sidecar),
        }
        s3, bucket = self._knowledge.s3, self._knowledge.bucket
        for name, (body, kind, beside) in dropped.items():
            key = f"{PREFIX}{name}"
            s3.put_object(Bucket=bucket, Key=f"{key}.metadata.json", Body=json.dumps(beside))
            s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=kind)
        with self._step("ingest three bad ones among them") as told:
            manifest = self._knowledge.follow(self._knowledge.ingest())
            told.append(f"{manifest['status']}, {len(manifest['problems'])} problems")
        self._expect(manifest["status"] == "COMPLETE", f"the job ended as {manifest['status']}")
        for name in dropped:
            reasons = [each["reason"] for each in manifest["problems"] if each["key"] == f"{PREFIX}{name}"]
            self.table.add_row(f"  {name}", reasons[0] if reasons else "[red]not named[/]", "", "")
            self._expect(bool(reasons), f"{name} is not named")

    @contextmanager
    def _step(self, name: str) -> Iterator[list[str]]:
        told: list[str] = []
        began = time.monotonic()
        with self._console.status(name):
            yield told
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.table.add_row(name, ", ".join(told), f"{time.monotonic() - began:.1f}", f"{peak:.0f}")

    def _expect(self, holds: bool, problem: str) -> None:
        if not holds:
            self.problems.append(problem)


@contextmanager
def deployed(profile: str, console: Console) -> Iterator[Knowledge]:
    """Deploy the stacks into a local AWS that enforces their roles, and yield the knowledge base."""
    directory = FOLDER / "aws"
    with LocalAws(port=0, directory=directory, deliver_within=2.0) as cloud:
        with console.status("deploying the stacks into a local AWS"):
            synthesize(directory / "cdk.out", context={"profile": profile})
            outputs = deploy(cloud, directory / "cdk.out").outputs
        use_as_environment(cloud)
        yield Knowledge(Deployment("", outputs=outputs), boto3.Session(), say=lambda _: None)


def write_pdf(folder: Path, number: int, pages: int) -> None:
    """Write a document with its header beside it; each page has words of its own."""
    texts = [
        f"Rule {number}.{page}: "
        + " ".join(
            WORDS[(number * 7 + page * 3 + word * word) % len(WORDS)] for word in range(WORDS_PER_PAGE)
        )
        for page in range(1, pages + 1)
    ]
    name = folder / f"{number % 20:02}" / f"rule {number:04}.pdf"
    name.parent.mkdir(exist_ok=True)
    name.write_bytes(pdf(*texts))
    name.with_name(f"{name.name}.yaml").write_text(f"title: Rule {number}\nclassification: public\n")


if __name__ == "__main__":
    sys.exit(main())
