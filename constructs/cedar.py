"""Cedar policies as files: parsed and validated with the Cedar engine, without any construct."""

import difflib
import hashlib
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import cedarpy

SCHEMA_FILE = "schema.json"
GROUPS_FILE = "groups.json"
TEMPLATES = "templates"
# Maximum size of one policy in bytes (quota of Verified Permissions).
MAX_POLICY_BYTES = 10_000
# Maximum size of a schema in bytes (quota of Verified Permissions).
MAX_SCHEMA_BYTES = 100_000
# Maximum length of a policy description in characters (quota of Verified Permissions).
MAX_DESCRIPTION = 150

GROUP = re.compile(r'\bGroup::"([^"|]+)"')


class CedarError(ValueError):
    """A policy file is not usable; the message names the file, the line and the remedy."""

    def __init__(self, file: Path, line: int, problem: str, remedy: str) -> None:
        super().__init__(f"{file.parent.name}/{file.name}:{line}: {problem}. {remedy}.")


@dataclass(frozen=True)
class CedarPolicy:
    """One statement, with its file's name as its name and its leading comment as its description."""

    name: str
    description: str
    statement: str

    @property
    def scope(self) -> str:
        """Eight hex digits of the parts that Verified Permissions cannot update: the effect, the principal
        and the resource.

        UpdatePolicy and UpdatePolicyTemplate change actions and conditions only (according to
        their API reference).
        """
        kinds = json.loads(cedarpy.policies_to_json_str(self.statement))
        policy = next(iter([*kinds["staticPolicies"].values(), *kinds["templates"].values()]))
        fixed = json.dumps([policy[name] for name in ("effect", "principal", "resource")], sort_keys=True)
        return hashlib.sha256(fixed.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class CedarPolicies:
    """A schema in Cedar's JSON form, with the policies and policy templates that are valid under it."""

    schema: str
    namespace: str
    policies: tuple[CedarPolicy, ...]
    templates: tuple[CedarPolicy, ...] = ()


def load(folder: Path, groups: Collection[str]) -> CedarPolicies:
    """Read `schema.json`, every `*.cedar` and every `templates/*.cedar`; raise CedarError for the first file
    that is not valid.

    Args:
        folder: Folder with the files. Each policy file holds one statement with `@id("<file stem>")`, after a
            comment that explains it.
        groups: Names that `Group::"..."` may have. A policy for a group that nobody can be in
            would never apply.
    """
    schema_file = folder / SCHEMA_FILE
    try:
        schema = schema_file.read_text()
        (namespace,) = json.loads(schema)
        cedarpy.Schema.from_json_str(schema)
    except (OSError, ValueError) as error:
        problem = f"it is not a Cedar schema with one namespace ({error})"
        raise CedarError(schema_file, 1, problem, "Write it from schema.cedarschema") from None
    compact = json.dumps(json.loads(schema), separators=(",", ":"))
    if len(compact.encode()) > MAX_SCHEMA_BYTES:
        problem = f"it has more than {MAX_SCHEMA_BYTES} bytes"
        raise CedarError(schema_file, 1, problem, "Shorten it: that is the limit of Verified Permissions")
    files = sorted(folder.glob("*.cedar"))
    if not files:
        problem = "there is no *.cedar file beside it"
        raise CedarError(schema_file, 1, problem, "Add a policy: without one, everything is denied")
    return CedarPolicies(
        schema=compact,
        namespace=namespace,
        policies=tuple(_load_policy(file, schema, groups, "staticPolicies") for file in files),
        templates=tuple(
            _load_policy(file, schema, groups, "templates")
            for file in sorted((folder / TEMPLATES).glob("*.cedar"))
        ),
    )


def groups(folder: Path) -> tuple[str, ...]:
    """Return the groups of users in `groups.json`; raise CedarError if it is not a list of names."""
    file = folder / GROUPS_FILE
    try:
        names = json.loads(file.read_text())
        if not names or not all(isinstance(name, str) and name for name in names):
            raise ValueError(f"it holds {json.dumps(names)}")
    except (OSError, ValueError, TypeError) as error:
        problem = f"it is not a list of group names ({error})"
        raise CedarError(file, 1, problem, 'Write one, such as ["staff", "customers"]') from None
    return tuple(names)


def custom_attributes(folder: Path) -> tuple[str, ...]:
    """Return the claims of a Cognito token that policies may read, such as `region` for the attribute
    `custom:region` of the schema's `User`."""
    (schema,) = json.loads((folder / SCHEMA_FILE).read_text()).values()
    declared = schema["entityTypes"]["User"].get("shape", {}).get("attributes", {})
    return tuple(sorted(name.removeprefix("custom:") for name in declared if name.startswith("custom:")))


def _load_policy(file: Path, schema: str, groups: Collection[str], kind: str) -> CedarPolicy:
    text = file.read_text()
    _check_statement(file, text, kind)
    _check_against_schema(file, text, schema)
    _check_groups(file, text, groups)
    comment = " ".join(line.removeprefix("//").strip() for line in _leading_comment(text))
    if not comment:
        raise CedarError(
            file,
            1,
            "it has no leading comment",
            "Begin the file with `// ` and a sentence that says what it is for",
        )
    if len(text.encode()) > MAX_POLICY_BYTES:
        raise CedarError(
            file,
            1,
            f"it has more than {MAX_POLICY_BYTES} bytes",
            "Split it: that is the limit of Verified Permissions",
        )
    return CedarPolicy(name=file.stem, description=comment[:MAX_DESCRIPTION], statement=text)


def _check_statement(file: Path, text: str, kind: str) -> None:
    problem = _parse_error(text)
    if problem:
        remedy = "Correct the syntax (docs.cedarpolicy.com/policies/syntax-policy.html)"
        raise CedarError(file, _line_of_parse_error(text.rstrip(), problem), problem, remedy)
    parsed = json.loads(cedarpy.policies_to_json_str(text))
    if (count := len(parsed["staticPolicies"]) + len(parsed["templates"])) != 1:
        raise CedarError(file, 1, f"it has {count} statements", "Keep exactly one in each file")
    if not parsed[kind]:
        raise CedarError(file, *_MISPLACED[kind])
    (statement,) = parsed[kind].values()
    if (identifier := statement.get("annotations", {}).get("id")) != file.stem:
        raise CedarError(
            file,
            _line(text, ["@id"]),
            f"its @id is {json.dumps(identifier)}",
            f'Annotate the statement with @id("{file.stem}")',
        )


_MISPLACED = {
    "staticPolicies": (
        1,
        "it has a slot, such as ?principal",
        f"Move it to {TEMPLATES}/, or name the entity",
    ),
    "templates": (1, "it has no slot", "Write ?principal or ?resource where a grant fills in an entity"),
}


def _parse_error(text: str) -> str:
    try:
        cedarpy.policies_to_json_str(text)
    except ValueError as error:
        return str(error)
    return ""


def _line_of_parse_error(text: str, problem: str) -> int:
    """Find the line of a parse error, which the engine does not tell: the first line with which the text fails
    in this way."""
    lines = text.splitlines()
    if problem != "unexpected end of input":
        for number in range(1, len(lines)):
            if _parse_error("\n".join(lines[:number])) == problem:
                return number
    return len(lines)


def _check_against_schema(file: Path, text: str, schema: str) -> None:
    result = cedarpy.validate_policies(text, schema)
    if result.validation_passed:
        return
    problem = re.sub(r"^for policy `\w+`, ", "", result.errors[0].error)
    quoted = re.findall(r"`([^`]+)`", problem)
    raise CedarError(file, _line(text, quoted), problem, _remedy(problem, quoted, schema))


def _remedy(problem: str, quoted: list[str], schema: str) -> str:
    if "optional attribute" in problem:
        return f"Test it first: `has {quoted[0]} && ...`"
    if "not found" in problem or "unrecognized" in problem:
        name = quoted[0].split("::")[-1].strip('"')
        close = difflib.get_close_matches(name, set(re.findall(r'"([^"]+)"', schema)) - {name}, 1)
        declare = f"declare `{name}` in the schema"
        return f"Write `{close[0]}`, or {declare}" if close else declare.capitalize()
    return "Change the policy or the schema so that they agree"


def _check_groups(file: Path, text: str, groups: Collection[str]) -> None:
    for group in GROUP.findall(text):
        if group not in groups:
            raise CedarError(
                file,
                _line(text, [f'"{group}"']),
                f'there is no group "{group}"',
                f"Use one of {', '.join(groups)}, or add the group to the user pool",
            )


def _line(text: str, needles: Iterable[str]) -> int:
    """Return the number of the first line that contains one of the needles, or else the line of the
    statement.
    """
    lines = text.splitlines()
    for needle in [*needles, "permit", "forbid"]:
        for number, line in enumerate(lines, 1):
            if needle in line.split("//")[0]:
                return number
    return 1


def _leading_comment(text: str) -> Iterable[str]:
    for line in text.splitlines():
        if not line.startswith("//"):
            return
        yield line
