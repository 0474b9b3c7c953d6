"""Ground Truth's events, as documented under "Using pre-annotation and post-annotation Lambda functions".

Consolidation keeps every worker's label; fmops.review decides which of them count, for all backends alike.
"""

import json
from typing import Any
from urllib.parse import urlsplit

SHOWN = ("source", "answer", "retrieved", "layers", "votes")
"""Keys of a manifest's line that a worker sees; the template uses them."""


def task_input(event: dict[str, Any]) -> dict[str, Any]:
    """Return `taskInput` of one data object. Raises KeyError for an object that none of our manifests holds."""
    given = event["dataObject"]
    return {
        "taskInput": {**{name: given[name] for name in SHOWN}, "taskId": given["task-id"]},
        "isHumanAnnotationRequired": True,
    }


def consolidate(event: dict[str, Any], s3: Any) -> list[dict[str, Any]]:
    """Return one annotation per object: `labels`, each worker's answer under the worker's id."""
    place = urlsplit(event["payload"]["s3Uri"])
    body = s3.get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"].read()
    return [
        {
            "datasetObjectId": each["datasetObjectId"],
            "consolidatedAnnotation": {
                "content": {
                    event["labelAttributeName"]: {"labels": [_label(said) for said in each["annotations"]]}
                }
            },
        }
        for each in json.loads(body)
    ]


def _label(said: dict[str, Any]) -> dict[str, Any]:
    """Return a worker's form as a label: crowd-form gives a radio group as an object of booleans, one for each
    choice."""
    form = json.loads(said["annotationData"]["content"])
    return {
        "reviewer": said["workerId"],
        "verdict": _chosen(form.get("verdict", {})),
        "category": _chosen(form.get("category", {})),
        "corrected_answer": form.get("corrected_answer", ""),
        "comment": form.get("comment", ""),
    }


def _chosen(group: dict[str, bool]) -> str:
    return next((name for name, on in group.items() if on), "")
