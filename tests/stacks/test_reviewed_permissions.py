"""The list of permissions that no local run uses names only permissions that some template still grants."""

import re
from fnmatch import fnmatchcase

from local.aws.iam.permissions import reviewed
from tests.synthesized import Assembly

HASH = re.compile(r"[0-9A-F]{8}$")


def test_every_line_is_of_a_grant_in_some_profile(assemblies: dict[str, Assembly]) -> None:
    listed = reviewed()
    lines = {(role, action) for role, actions in listed.roles.items() for action in actions}
    granted = {grant for assembly in assemblies.values() for grant in _grants(assembly)}
    stale = {
        (role, action)
        for role, action in lines
        if not any(action == other and fnmatchcase(name, role) for name, other in granted)
    }
    assert sorted(stale) == []
    assert sorted(set(listed.everywhere) - {action for _, action in granted}) == []


def _grants(assembly: Assembly) -> set[tuple[str, str]]:
    """Return the role's label, as a rehearsal writes it, and the action."""
    found = set()
    for name, policy in assembly.resources("AWS::IAM::Policy", "AWS::IAM::Role").items():
        stack, logical_id = name.split("/")
        if policy["Type"] == "AWS::IAM::Role":
            roles = [logical_id]
            documents = [each["PolicyDocument"] for each in policy["Properties"].get("Policies", [])]
        else:
            roles = [role["Ref"] for role in policy["Properties"]["Roles"]]
            documents = [policy["Properties"]["PolicyDocument"]]
        for role in roles:
            for document in documents:
                for statement in document["Statement"]:
                    actions = statement["Action"]
                    for action in actions if isinstance(actions, list) else [actions]:
                        found.add((f"{stack}/{HASH.sub('', role)}", action))
    return found
