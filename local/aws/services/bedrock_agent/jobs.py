"""Ingestion jobs, one at a time for a knowledge base."""

from __future__ import annotations

from local.aws.kernel.api import Context, Params
from local.aws.services.bedrock_agent.ingestion import Ingestion
from local.aws.services.bedrock_agent.role import BaseRole
from local.aws.services.bedrock_agent.state import (
    ENDED,
    IngestionJob,
    KnowledgeBases,
    checked,
    conflict,
    find_source,
    new_id,
    not_found,
    page_of,
)

ONE_AT_A_TIME = "You have reached the maximum number of concurrent ingestion jobs per knowledge base: 1"
SORTED_BY = {"STATUS": "status", "STARTED_AT": "startedAt"}


@checked("StartIngestionJob")
def start_ingestion_job(params: Params, context: Context) -> Params:
    """Start a job in the background. Bedrock checks the rate first, and the model before it answers."""
    state = context.state(KnowledgeBases)
    state.take_start()
    source = find_source(params, context)
    with state.lock:
        if source.base.running:
            raise conflict(ONE_AT_A_TIME)
        BaseRole(context.cloud, source.base).check_embedding()
        job = IngestionJob(new_id(), source, params.get("description"))
        source.jobs[job.job_id] = job
    answer = {"ingestionJob": job.details()}
    state.run(Ingestion(context.cloud, job).run)
    return answer


def _job(params: Params, context: Context) -> IngestionJob:
    source, name = find_source(params, context), params["ingestionJobId"]
    if name not in source.jobs:
        raise not_found(f"Ingestion job with id {name} is not found in DataSource with id {source.source_id}")
    return source.jobs[name]


@checked("GetIngestionJob")
def get_ingestion_job(params: Params, context: Context) -> Params:
    return {"ingestionJob": _job(params, context).details()}


@checked("ListIngestionJobs")
def list_ingestion_jobs(params: Params, context: Context) -> Params:
    found = [job.summary() for job in find_source(params, context).jobs.values()]
    for each in params.get("filters") or []:
        found = [job for job in found if job["status"] in each["values"]]
    order = params.get("sortBy") or {"attribute": "STARTED_AT", "order": "DESCENDING"}
    found.sort(key=lambda job: job[SORTED_BY[order["attribute"]]], reverse=order["order"] == "DESCENDING")
    page, token = page_of(found, params)
    return {"ingestionJobSummaries": page, "nextToken": token}


@checked("StopIngestionJob")
def stop_ingestion_job(params: Params, context: Context) -> Params:
    job = _job(params, context)
    if job.status in ENDED:
        raise conflict(f"Ingestion job with id {job.job_id} is {job.status} and cannot be stopped")
    job.stopping.set()
    return {"ingestionJob": {**job.details(), "status": "STOPPING"}}
