"""`python app.py`, run as a person or the CDK CLI does."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import app
from stacks import identity
from stacks.synthesis import synthesize

ROOT = Path(__file__).parents[2]


def run_app(outdir: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run app.py without Node on PATH and without validation."""
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("JSII", "CDK", "NODE"))
    }
    return subprocess.run(
        [sys.executable, "app.py", *arguments],
        cwd=ROOT,
        env={
            **inherited,
            "PATH": str(outdir),
            "CDK_OUTDIR": str(outdir),
            "CDK_VALIDATION": "false",
            **environment,
        },
        capture_output=True,
        text=True,
    )


def test_needs_no_node_on_the_path(tmp_path: Path) -> None:
    result = run_app(tmp_path, CDK_CONTEXT_JSON='{"profile": "prod", "port": "8090"}')
    said = [line for line in result.stderr.splitlines() if not line.startswith("Bundling asset ")]
    assert (result.returncode, said) == (0, [])
    template = (tmp_path / "Assistant.template.json").read_text()
    assert '"Value": "8090"' in template
    assert "http://localhost:8090/healthz" in template
    assert "fmops-prod-assistant" in template


def test_bad_settings_are_one_sentence_without_a_stack_trace(tmp_path: Path) -> None:
    result = run_app(tmp_path, "-c", "profile=staging")
    assert result.returncode == 1
    assert result.stdout == ""
    assert (
        result.stderr
        == "The profile 'staging' is not in the context 'fmops' of cdk.json: use dev, prod or serverless.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_bad_policy_is_one_sentence_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    (tmp_path / "policies" / "typo.cedar").write_text("// A typo.\npermit (principal, action, resorce);\n")
    monkeypatch.setattr(identity, "POLICIES", tmp_path / "policies")
    monkeypatch.setenv("CDK_OUTDIR", str(tmp_path / "out"))
    with pytest.raises(SystemExit) as exit_:
        synthesize(app.build, [])
    assert str(exit_.value) == (
        "policies/typo.cedar:2: found an invalid variable in the policy scope: resorce. "
        "Correct the syntax (docs.cedarpolicy.com/policies/syntax-policy.html)."
    )
    assert capsys.readouterr() == ("", "")
