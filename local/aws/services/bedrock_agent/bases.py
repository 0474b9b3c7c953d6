"""Knowledge bases: the ones of type VECTOR on S3 Vectors."""

from __future__ import annotations

from local.aws.kernel.api import (
    FALL_THROUGH,
    Context,
    NotImplementedHere,
    Params,
    operation,
    validation_error,
)
from local.aws.services.bedrock.inference import EMBEDDING_DIMENSIONS
from local.aws.services.bedrock_agent.role import BaseRole
from local.aws.services.bedrock_agent.sources import remove_vectors
from local.aws.services.bedrock_agent.state import (
    SERVICE,
    KnowledgeBase,
    KnowledgeBases,
    checked,
    conflict,
    find_base,
    new_id,
    not_found,
    now,
    page_of,
)

DEFAULT_DIMENSION = 1024
"""Titan Text Embeddings V2's, where the knowledge base names none."""


@checked("CreateKnowledgeBase")
def create_knowledge_base(params: Params, context: Context) -> Params:
    """Make a knowledge base, if its role trusts Bedrock, may embed, and reaches the index."""
    state, name = context.state(KnowledgeBases), params["name"]
    _check_configuration(params)
    base_id = new_id()
    base = KnowledgeBase(
        base_id=base_id,
        arn=context.arn("bedrock", f"knowledge-base/{base_id}"),
        name=name,
        description=params.get("description"),
        role_arn=params["roleArn"],
        configuration=params["knowledgeBaseConfiguration"],
        storage=params["storageConfiguration"],
        dimension=_dimension(params),
        tags=dict(params.get("tags") or {}),
    )
    if any(each.name == name for each in state.by_id.values()):
        raise conflict(f"KnowledgeBase with name {name} already exists.")
    _check_role(base, context)
    state.by_id[base_id] = base
    return {"knowledgeBase": {**base.details(), "status": "CREATING"}}


def _check_role(base: KnowledgeBase, context: Context) -> None:
    role = BaseRole(context.cloud, base)
    role.credentials()
    role.check_embedding()
    role.check_index()


def _check_configuration(params: Params) -> None:
    """Raise for what Bedrock refuses, and for kinds of knowledge bases that are not here."""
    configuration, storage = params["knowledgeBaseConfiguration"], params.get("storageConfiguration") or {}
    if configuration["type"] != "VECTOR":
        raise NotImplementedHere(
            f"knowledge bases of type {configuration['type']}: VECTOR on S3_VECTORS is here"
        )
    if not configuration.get("vectorKnowledgeBaseConfiguration"):
        raise validation_error("A knowledge base of type VECTOR requires vectorKnowledgeBaseConfiguration")
    if configuration["vectorKnowledgeBaseConfiguration"].get("supplementalDataStorageConfiguration"):
        raise NotImplementedHere("supplementalDataStorageConfiguration: images are not extracted")
    if not storage:
        raise validation_error("A knowledge base of type VECTOR requires storageConfiguration")
    if storage["type"] != "S3_VECTORS":
        raise NotImplementedHere(f"storage of type {storage['type']}: S3_VECTORS is here")
    given = {name for name, value in (storage.get("s3VectorsConfiguration") or {}).items() if value}
    if given not in ({"indexArn"}, {"vectorBucketArn", "indexName"}):
        raise validation_error(
            "s3VectorsConfiguration takes either indexArn, or vectorBucketArn and indexName"
        )


def _dimension(params: Params) -> int:
    """The dimension of the embeddings. ValidationException for one that the model or the store does not have."""
    vector = params["knowledgeBaseConfiguration"]["vectorKnowledgeBaseConfiguration"]
    given = (vector.get("embeddingModelConfiguration") or {}).get("bedrockEmbeddingModelConfiguration") or {}
    if given.get("embeddingDataType", "FLOAT32") != "FLOAT32":
        raise validation_error("S3_VECTORS stores embeddings of the data type FLOAT32 only")
    if given.get("audio") or given.get("video"):
        raise NotImplementedHere("embeddings of audio and video")
    dimension: int = given.get("dimensions") or DEFAULT_DIMENSION
    if dimension not in EMBEDDING_DIMENSIONS:
        allowed = ", ".join(map(str, EMBEDDING_DIMENSIONS))
        raise validation_error(f"The embedding model has no {dimension} dimensions, but {allowed}")
    return dimension


@checked("GetKnowledgeBase")
def get_knowledge_base(params: Params, context: Context) -> Params:
    return {"knowledgeBase": find_base(params, context).details()}


@checked("ListKnowledgeBases")
def list_knowledge_bases(params: Params, context: Context) -> Params:
    names = ("knowledgeBaseId", "name", "description", "status", "updatedAt")
    found = [each.details() for each in context.state(KnowledgeBases).by_id.values()]
    page, token = page_of([{name: each[name] for name in names} for each in found], params)
    return {"knowledgeBaseSummaries": page, "nextToken": token}


@checked("UpdateKnowledgeBase")
def update_knowledge_base(params: Params, context: Context) -> Params:
    """Change the name, the description or the role; nothing else can change."""
    base = find_base(params, context)
    changed = [
        name
        for name, old in (
            ("knowledgeBaseConfiguration", base.configuration),
            ("storageConfiguration", base.storage),
        )
        if params.get(name) and params[name] != old
    ]
    if changed:
        raise validation_error(f"{changed[0]} of a knowledge base cannot be changed")
    others = context.state(KnowledgeBases).by_id.values()
    if any(each.name == params["name"] and each is not base for each in others):
        raise conflict(f"KnowledgeBase with name {params['name']} already exists.")
    before = base.role_arn
    base.role_arn = params["roleArn"]
    try:
        _check_role(base, context)
    except Exception:
        base.role_arn = before
        raise
    base.name, base.description, base.updated = params["name"], params.get("description"), now()
    return {"knowledgeBase": {**base.details(), "status": "UPDATING"}}


@checked("DeleteKnowledgeBase")
def delete_knowledge_base(params: Params, context: Context) -> Params:
    """Delete a knowledge base with its data sources, whose deletion policies decide about the vectors."""
    base = find_base(params, context)
    if base.running:
        raise conflict("The knowledge base has an ingestion job that is running")
    for source in base.sources.values():
        if why := remove_vectors(source, context.cloud):
            base.status, base.reasons = "DELETE_UNSUCCESSFUL", [why]
            return {"knowledgeBaseId": base.base_id, "status": "DELETING"}
    del context.state(KnowledgeBases).by_id[base.base_id]
    return {"knowledgeBaseId": base.base_id, "status": "DELETING"}


def _tags(params: Params, context: Context) -> dict[str, str] | None:
    """The tags of a knowledge base; None for another kind of resource."""
    kind, _, name = str(params["resourceArn"]).rpartition(":")[2].partition("/")
    if kind != "knowledge-base":
        return None
    base = context.state(KnowledgeBases).by_id.get(name)
    if base is None:
        raise not_found(f"Knowledge base with id {name} is not found")
    return base.tags


@operation(SERVICE, "ListTagsForResource")
def list_tags_for_resource(params: Params, context: Context) -> object:
    tags = _tags(params, context)
    return FALL_THROUGH if tags is None else {"tags": tags}


@operation(SERVICE, "TagResource")
def tag_resource(params: Params, context: Context) -> object:
    tags = _tags(params, context)
    if tags is None:
        return FALL_THROUGH
    tags.update(params["tags"])
    return {}


@operation(SERVICE, "UntagResource")
def untag_resource(params: Params, context: Context) -> object:
    tags = _tags(params, context)
    if tags is None:
        return FALL_THROUGH
    for key in params["tagKeys"]:
        tags.pop(key, None)
    return {}
