"""SageMaker Ground Truth's labelling jobs: the manifest goes through the job's own pre- and post-annotation
functions.

There is no workforce here: a job waits, InProgress, until a test gives people to ``LabelingJobs.work``.
Everything else is as documented: the functions' events, the consolidation request in S3, and the output
manifest.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from local.aws.kernel.api import Context, Params, ServiceError, ServiceState, operation
from local.aws.kernel.cloud import Cloud
from local.aws.services.lambda_ import Functions

VERSION = "2018-10-16"
Form = Mapping[str, Any]
Worker = Callable[[Mapping[str, Any]], Form]
"""A person's answer to a task's input: the fields of the worker template's form."""


@dataclass
class LabelingJob:
    """One job. ``labeled`` counts the objects that everybody has answered."""

    request: Params
    arn: str
    created: datetime
    manifest: list[dict[str, Any]]
    status: str = "InProgress"
    labeled: int = 0
    failure: str | None = None

    def description(self) -> Params:
        counters = {
            "TotalLabeled": self.labeled,
            "HumanLabeled": self.labeled,
            "MachineLabeled": 0,
            "FailedNonRetryableError": 0,
            "Unlabeled": len(self.manifest) - self.labeled,
        }
        described = {
            **self.request,
            "LabelingJobStatus": self.status,
            "LabelCounters": counters,
            "LabelingJobArn": self.arn,
            "JobReferenceCode": "local",
            "CreationTime": self.created,
            "LastModifiedTime": self.created,
        }
        if self.failure:
            described["FailureReason"] = self.failure
        if self.status == "Completed":
            described["LabelingJobOutput"] = {"OutputDatasetS3Uri": output_manifest(self.request)}
        return described


class LabelingJobs(ServiceState):
    """The labelling jobs of the account."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__(cloud)
        self.jobs: dict[str, LabelingJob] = {}

    def job(self, name: str) -> LabelingJob:
        if name not in self.jobs:
            raise ServiceError("ResourceNotFound", f"Labeling job {name} does not exist")
        return self.jobs[name]

    def create(self, request: Params, context: Context) -> LabelingJob:
        name = request["LabelingJobName"]
        if name in self.jobs:
            raise ServiceError("ResourceInUse", f"Labeling job names must be unique; there is already {name}")
        if ":workteam/" not in (workteam := request["HumanTaskConfig"]["WorkteamArn"]):
            raise ServiceError("ValidationException", f"{workteam} is not the ARN of a workteam")
        uri = request["InputConfig"]["DataSource"]["S3DataSource"]["ManifestS3Uri"]
        lines = [json.loads(line) for line in self._read(uri).split("\n") if line.strip()]
        if wrong := [
            number for number, line in enumerate(lines, 1) if not {"source", "source-ref"} & line.keys()
        ]:
            raise ServiceError(
                "ValidationException", f"{uri} line {wrong[0]}: a data object needs source or source-ref"
            )
        self._read(request["HumanTaskConfig"]["UiConfig"]["UiTemplateS3Uri"])
        arn = context.arn("sagemaker", f"labeling-job/{name}")
        job = self.jobs[name] = LabelingJob(request, arn, datetime.now(UTC), lines)
        return job

    def work(self, name: str, workers: Mapping[str, Worker]) -> LabelingJob:
        """Let people answer every object of a job, consolidate the answers, and write the output manifest."""
        job = self.job(name)
        human, attribute = job.request["HumanTaskConfig"], job.request["LabelAttributeName"]
        wanted = human["NumberOfHumanWorkersPerDataObject"]
        if len(workers) < wanted:
            raise ValueError(f"{name} wants {wanted} workers per object, and there are {len(workers)}")
        answered = []
        for number, line in enumerate(job.manifest):
            event = {"version": VERSION, "labelingJobArn": job.arn, "dataObject": line}
            prepared = self._invoke(human["PreHumanTaskLambdaArn"], event, job)
            if not prepared["isHumanAnnotationRequired"]:
                continue
            answered.append(
                {
                    "datasetObjectId": str(number),
                    "dataObject": {"content": json.dumps(line)},
                    "annotations": [
                        {
                            "workerId": worker,
                            "annotationData": {"content": json.dumps(answer(prepared["taskInput"]))},
                        }
                        for worker, answer in list(workers.items())[:wanted]
                    ],
                }
            )
        place = f"{job.request['OutputConfig']['S3OutputPath']}/{name}/annotations/consolidation-request"
        uri = f"{place}/iteration-1/{uuid.uuid4()}.json"
        self._write(uri, json.dumps(answered))
        event = {
            "version": VERSION,
            "labelingJobArn": job.arn,
            "labelAttributeName": attribute,
            "roleArn": job.request["RoleArn"],
            "payload": {"s3Uri": uri},
        }
        consolidation = human["AnnotationConsolidationConfig"]["AnnotationConsolidationLambdaArn"]
        consolidated = self._invoke(consolidation, event, job)
        self._finish(job, attribute, consolidated)
        return job

    def _finish(self, job: LabelingJob, attribute: str, consolidated: list[dict[str, Any]]) -> None:
        lines = [dict(line) for line in job.manifest]
        for each in consolidated:
            line = lines[int(each["datasetObjectId"])]
            line |= each["consolidatedAnnotation"]["content"]
            line[f"{attribute}-metadata"] = {
                "type": "groundtruth/custom",
                "job-name": job.request["LabelingJobName"],
                "human-annotated": "yes",
                "creation-date": datetime.now(UTC).replace(tzinfo=None).isoformat(),
            }
        self._write(output_manifest(job.request), "".join(json.dumps(line) + "\n" for line in lines))
        job.labeled, job.status = len(consolidated), "Completed"

    def _invoke(self, arn: str, event: Any, job: LabelingJob) -> Any:
        result, error = self.cloud.state(Functions).function(arn).invoke(event)
        if error:
            job.status, job.failure = "Failed", f"{arn}: {result['errorMessage']}"
            raise RuntimeError(job.failure)
        return result

    def _read(self, uri: str) -> str:
        place = urlsplit(uri)
        body = self.cloud.client("s3").get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"]
        return str(body.read().decode())

    def _write(self, uri: str, text: str) -> None:
        place = urlsplit(uri)
        self.cloud.client("s3").put_object(
            Bucket=place.netloc, Key=place.path.lstrip("/"), Body=text.encode()
        )


def output_manifest(request: Params) -> str:
    """Return the location of a job's output manifest in Ground Truth."""
    return f"{request['OutputConfig']['S3OutputPath']}/{request['LabelingJobName']}/manifests/output/output.manifest"


@operation("sagemaker", "CreateLabelingJob")
def create_labeling_job(params: Params, context: Context) -> Params:
    return {"LabelingJobArn": context.state(LabelingJobs).create(params, context).arn}


@operation("sagemaker", "DescribeLabelingJob")
def describe_labeling_job(params: Params, context: Context) -> Params:
    return context.state(LabelingJobs).job(params["LabelingJobName"]).description()
