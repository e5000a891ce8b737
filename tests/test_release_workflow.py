"""The workflow that publishes: fixed versions of what it runs, few rights, and the order of its jobs."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY

WORKFLOW = REPOSITORY / ".github" / "workflows" / "release.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    return yaml.safe_load(WORKFLOW.read_text())


def test_it_runs_fixed_versions_with_few_rights(workflow: dict[str, Any]) -> None:
    jobs = workflow["jobs"]
    used = [step["uses"] for job in jobs.values() for step in job["steps"] if "uses" in step]
    assert len(used) > 5
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name) for name in used)
    assert workflow["permissions"] == {}
    assert jobs["build"]["permissions"] == {"contents": "read"}
    assert jobs["try"]["permissions"] == {}
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert "run" not in {key for step in jobs["publish"]["steps"] for key in step}
    assert (jobs["try"]["needs"], jobs["publish"]["needs"]) == ("build", "try")
    scripts = "".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    assert "${{" not in scripts  # a name of a tag is never part of a program


@pytest.mark.parametrize(
    ("heading", "passes"),
    [("## 9.8.7 (2026-12-01)", True), ("## 9.8.7 (unreleased)", False), ("## 9.8.6 (2026-12-01)", False)],
)
def test_a_version_without_its_changelog_stops(
    workflow: dict[str, Any], heading: str, passes: bool, tmp_path: Path
) -> None:
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{heading}\n\n- All.\n")
    (script,) = (s["run"] for s in workflow["jobs"]["build"]["steps"] if "changelog" in s.get("name", ""))
    done = subprocess.run(
        ["bash", "-ec", script], cwd=tmp_path, env={"GITHUB_REF_NAME": "v9.8.7", "PATH": "/usr/bin:/bin"},
        capture_output=True,
    )  # fmt: skip
    assert (done.returncode == 0) is passes
