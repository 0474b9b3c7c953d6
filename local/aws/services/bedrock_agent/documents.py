"""ListKnowledgeBaseDocuments and GetKnowledgeBaseDocuments: the documents of a data source, without ignored files."""

from __future__ import annotations

from local.aws.kernel.api import Context, Params
from local.aws.services.bedrock_agent.state import DataSource, Document, checked, find_source, page_of


@checked("ListKnowledgeBaseDocuments")
def list_knowledge_base_documents(params: Params, context: Context) -> Params:
    source = find_source(params, context)
    page, token = page_of(sorted(source.documents.values(), key=lambda each: each.uri), params)
    return {"documentDetails": [_detail(source, each) for each in page], "nextToken": token}


@checked("GetKnowledgeBaseDocuments")
def get_knowledge_base_documents(params: Params, context: Context) -> Params:
    source = find_source(params, context)
    return {"documentDetails": [_found(source, each) for each in params["documentIdentifiers"]]}


def _found(source: DataSource, identifier: Params) -> Params:
    uri = (identifier.get("s3") or {}).get("uri", "")
    if uri in source.documents:
        return _detail(source, source.documents[uri])
    return {**_ids(source), "identifier": identifier, "status": "NOT_FOUND"}


def _detail(source: DataSource, document: Document) -> Params:
    return {
        **_ids(source),
        "identifier": {"dataSourceType": "S3", "s3": {"uri": document.uri}},
        "status": document.status,
        "statusReason": document.reason,
        "updatedAt": document.updated,
    }


def _ids(source: DataSource) -> Params:
    return {"knowledgeBaseId": source.base.base_id, "dataSourceId": source.source_id}
