"""Data sources: prefixes of S3 buckets."""

from __future__ import annotations

from botocore.exceptions import ClientError

from local.aws.kernel.api import Context, NotImplementedHere, Params, ServiceError, validation_error
from local.aws.kernel.cloud import Cloud
from local.aws.services.bedrock_agent.role import BaseRole, said
from local.aws.services.bedrock_agent.state import (
    DataSource,
    checked,
    conflict,
    find_base,
    find_source,
    new_id,
    now,
    page_of,
)

STRATEGIES = ("FIXED_SIZE", "NONE")
MAX_VECTORS_PER_CALL = 500


@checked("CreateDataSource")
def create_data_source(params: Params, context: Context) -> Params:
    base, name = find_base(params, context), params["name"]
    _check_configuration(params)
    if any(each.name == name for each in base.sources.values()):
        raise conflict(f"DataSource with name {name} already exists in KnowledgeBase with id {base.base_id}.")
    source = DataSource(
        source_id=new_id(),
        base=base,
        name=name,
        description=params.get("description"),
        configuration=params["dataSourceConfiguration"],
        deletion_policy=params.get("dataDeletionPolicy") or "DELETE",
        encryption=params.get("serverSideEncryptionConfiguration"),
        ingestion=params.get("vectorIngestionConfiguration"),
    )
    base.sources[source.source_id] = source
    return {"dataSource": source.details()}


def _check_configuration(params: Params) -> None:
    """Raise for what Bedrock refuses, and for what is not here."""
    configuration = params["dataSourceConfiguration"]
    if configuration["type"] != "S3":
        raise NotImplementedHere(f"data sources of type {configuration['type']}: S3 is here")
    if not configuration.get("s3Configuration"):
        raise validation_error("A data source of type S3 requires s3Configuration")
    ingestion = params.get("vectorIngestionConfiguration") or {}
    for name in (
        "parsingConfiguration",
        "customTransformationConfiguration",
        "contextEnrichmentConfiguration",
    ):
        if ingestion.get(name):
            raise NotImplementedHere(f"{name}: the default parser is here")
    chunking = ingestion.get("chunkingConfiguration") or {}
    strategy = chunking.get("chunkingStrategy", "FIXED_SIZE")
    if strategy not in STRATEGIES:
        raise NotImplementedHere(f"chunkingStrategy {strategy}: {' and '.join(STRATEGIES)} are here")
    if chunking and (strategy == "FIXED_SIZE") is not bool(chunking.get("fixedSizeChunkingConfiguration")):
        raise validation_error("fixedSizeChunkingConfiguration is required for FIXED_SIZE, and for it only")


@checked("GetDataSource")
def get_data_source(params: Params, context: Context) -> Params:
    return {"dataSource": find_source(params, context).details()}


@checked("ListDataSources")
def list_data_sources(params: Params, context: Context) -> Params:
    names = ("knowledgeBaseId", "dataSourceId", "name", "status", "description", "updatedAt")
    found = [each.details() for each in find_base(params, context).sources.values()]
    page, token = page_of([{name: each[name] for name in names} for each in found], params)
    return {"dataSourceSummaries": page, "nextToken": token}


@checked("UpdateDataSource")
def update_data_source(params: Params, context: Context) -> Params:
    """Change a data source, except how it is cut: its chunking and parsing are of its creation."""
    source = find_source(params, context)
    _check_configuration(params)
    if params.get("vectorIngestionConfiguration") not in (None, source.ingestion):
        raise validation_error("vectorIngestionConfiguration of a data source cannot be changed")
    if any(each.name == params["name"] and each is not source for each in source.base.sources.values()):
        raise conflict(f"DataSource with name {params['name']} already exists.")
    source.name, source.description = params["name"], params.get("description")
    source.configuration, source.updated = params["dataSourceConfiguration"], now()
    source.deletion_policy = params.get("dataDeletionPolicy") or source.deletion_policy
    source.encryption = params.get("serverSideEncryptionConfiguration")
    return {"dataSource": source.details()}


@checked("DeleteDataSource")
def delete_data_source(params: Params, context: Context) -> Params:
    source = find_source(params, context)
    if any(job.source is source for job in source.base.running):
        raise conflict("The data source has an ingestion job that is running")
    if why := remove_vectors(source, context.cloud):
        source.status, source.reasons = "DELETE_UNSUCCESSFUL", [why]
    else:
        del source.base.sources[source.source_id]
    ids = {"knowledgeBaseId": source.base.base_id, "dataSourceId": source.source_id}
    return {**ids, "status": "DELETING"}


def remove_vectors(source: DataSource, cloud: Cloud) -> str | None:
    """Remove a data source's vectors under the base's role if its policy says so; return why that failed."""
    keys = [key for each in source.documents.values() for key in each.vector_keys]
    if source.deletion_policy != "DELETE" or not keys:
        return None
    try:
        client = BaseRole(cloud, source.base).client("s3vectors")
        for begin in range(0, len(keys), MAX_VECTORS_PER_CALL):
            client.delete_vectors(
                indexArn=source.base.index_arn, keys=keys[begin : begin + MAX_VECTORS_PER_CALL]
            )
    except ClientError as error:
        return f"Unable to delete data from vector store: {said(error, 's3vectors')}"
    except ServiceError as error:
        return error.message
    return None
