"""Policy files: those that are accepted, and the file, line and remedy in each refusal."""

import shutil
from pathlib import Path

import pytest
from constructs import cedar

POLICIES = Path(__file__).parents[2] / "policies"
GROUPS = (
    "customers",
    "adjusters",
    "supervisors",
    "handlers",
    "siu",
    "auditors",
    "staff",
    "reviewers",
    "prompt-engineers",
    "operators",
)

VALID = """// Adjusters see claims.
@id("sample")
permit (principal in ClaimsDesk::Group::"adjusters", action == ClaimsDesk::Action::"get_claim", resource)
when { resource.siuHold == false };
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder `policies` with the real schema."""
    directory = tmp_path / "policies"
    directory.mkdir()
    shutil.copy(POLICIES / "schema.json", directory)
    return directory


def test_the_projects_own_policies_are_valid() -> None:
    loaded = cedar.load(POLICIES, GROUPS)
    assert loaded.namespace == "ClaimsDesk"
    assert {policy.name for policy in loaded.policies} == {file.stem for file in POLICIES.glob("*.cedar")}


def test_policy_has_name_description_and_statement(folder: Path) -> None:
    (folder / "sample.cedar").write_text(VALID)
    (policy,) = cedar.load(folder, GROUPS).policies
    assert policy == cedar.CedarPolicy("sample", "Adjusters see claims.", VALID)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "resource.siuHold",
            "resource.siuHolt",
            "policies/sample.cedar:4: attribute `siuHolt` on entity type `ClaimsDesk::Claim` not found. "
            "Write `siuHold`, or declare `siuHolt` in the schema.",
        ),
        (
            '"get_claim"',
            '"get_clam"',
            'policies/sample.cedar:3: unrecognized action `ClaimsDesk::Action::"get_clam"`. '
            "Write `get_claim`, or declare `get_clam` in the schema.",
        ),
        (
            "resource.siuHold == false",
            "resource.claimantUser == principal",
            "policies/sample.cedar:4: unable to guarantee safety of access to optional attribute `claimantUser` "
            "on entity type `ClaimsDesk::Claim`. Test it first: `has claimantUser && ...`.",
        ),
        (
            "== false };",
            "== };",
            "policies/sample.cedar:4: unexpected token `}`. "
            "Correct the syntax (docs.cedarpolicy.com/policies/syntax-policy.html).",
        ),
        (
            "};\n",
            "\n",
            "policies/sample.cedar:4: unexpected end of input. "
            "Correct the syntax (docs.cedarpolicy.com/policies/syntax-policy.html).",
        ),
        (
            '@id("sample")',
            '@id("other")',
            'policies/sample.cedar:2: its @id is "other". Annotate the statement with @id("sample").',
        ),
        (
            '"adjusters"',
            '"adjuster"',
            'policies/sample.cedar:3: there is no group "adjuster". '
            "Use one of customers, adjusters, supervisors, handlers, siu, auditors, staff, reviewers,"
            " prompt-engineers, operators, or add the group to the user pool.",
        ),
        (
            "// Adjusters see claims.\n",
            "",
            "policies/sample.cedar:1: it has no leading comment. "
            "Begin the file with `// ` and a sentence that says what it is for.",
        ),
        (
            "// Adjusters see claims.\n",
            "// Nobody.\nforbid (principal, action, resource);\n",
            "policies/sample.cedar:1: it has 2 statements. Keep exactly one in each file.",
        ),
    ],
)
def test_bad_policy_is_refused(folder: Path, old: str, new: str, message: str) -> None:
    assert old in VALID
    (folder / "sample.cedar").write_text(VALID.replace(old, new))
    with pytest.raises(cedar.CedarError) as error:
        cedar.load(folder, GROUPS)
    assert str(error.value) == message


def test_too_long_policy_is_refused(folder: Path) -> None:
    (folder / "sample.cedar").write_text(VALID + "//" + "x" * 10_000)
    with pytest.raises(cedar.CedarError, match="more than 10000 bytes"):
        cedar.load(folder, GROUPS)


def test_folder_without_policies_is_refused(folder: Path) -> None:
    with pytest.raises(cedar.CedarError, match="everything is denied"):
        cedar.load(folder, GROUPS)


@pytest.mark.parametrize(
    "schema", ["", "[]", "{", '{"ClaimsDesk": {"entityTypes": 1}}', '{"A": {}, "B": {}}']
)
def test_bad_schema_is_refused(folder: Path, schema: str) -> None:
    (folder / "schema.json").write_text(schema)
    with pytest.raises(
        cedar.CedarError, match=r"policies/schema\.json:1: it is not a Cedar schema with one namespace"
    ):
        cedar.load(folder, GROUPS)
