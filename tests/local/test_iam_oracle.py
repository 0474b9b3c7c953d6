"""The evaluation of policies, beside a second implementation: moto's, which somebody else wrote.

It is asked only what it knows. It does not fold the case of actions, has no `?` and no `NotResource`, takes patterns
for regular
expressions, and denies explicitly where a condition does not hold, which IAM does not; of conditions it
knows `StringEquals` only, so that none are made here: those are tested by example in test_iam.py.
"""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from moto.iam.access_control import IAMPolicy, PermissionResult

from local.aws.iam.evaluator import evaluate, parse

SERVICES = ("s3", "kms", "logs")
VERBS = ("GetObject", "GetItem", "PutObject", "Put", "Decrypt")
NAMES = ("lake", "lake/a", "lake/ab", "lake-b", "key/1")

actions = st.builds("{}:{}".format, st.sampled_from(SERVICES), st.sampled_from(VERBS))
action_patterns = st.one_of(
    actions,
    st.builds("{}:{}*".format, st.sampled_from(SERVICES), st.sampled_from(("", "Get", "Put", "GetO"))),
    st.sampled_from(("*", "s3:*Object", "*:Get*")),
)
resources = st.builds("arn:aws:{}:::{}".format, st.sampled_from(SERVICES), st.sampled_from(NAMES))
resource_patterns = st.one_of(
    resources,
    st.builds(
        "arn:aws:{}:::{}*".format, st.sampled_from(SERVICES), st.sampled_from(("", "lake", "lake/", "key/"))
    ),
    st.sampled_from(("*", "arn:aws:*:::lake/*", "arn:aws:s3:::*/ab")),
)


def one_or_many(patterns: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.one_of(patterns, st.lists(patterns, min_size=1, max_size=3))


@st.composite
def statements(draw: st.DrawFn) -> dict[str, Any]:
    element = draw(st.sampled_from(("Action", "Action", "NotAction")))
    return {
        "Effect": draw(st.sampled_from(("Allow", "Allow", "Deny"))),
        element: draw(one_or_many(action_patterns)),
        "Resource": draw(one_or_many(resource_patterns)),
    }


@settings(max_examples=1500, deadline=None)
@given(st.lists(statements(), min_size=1, max_size=5), actions, resources)
def test_two_implementations_decide_alike(made: list[dict[str, Any]], action: str, resource: str) -> None:
    document = {"Version": "2012-10-17", "Statement": made}
    ours = evaluate(parse("policy", document), action, resource, {})
    other = IAMPolicy({"policy_document": json.dumps(document)}).is_action_permitted(action, resource)
    assert ours.allowed == (other is PermissionResult.PERMITTED)
    explicit = ours.statement is not None and not ours.allowed
    assert explicit == (other is PermissionResult.DENIED)
