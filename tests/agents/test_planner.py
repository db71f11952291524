"""`moraine epic plan` with planners that speak by a scenario: OpenCode's agent `plan`, and both APIs. The first answer has
a fault, which they are told."""

import subprocess

import pytest

from agents import FOLDER, OPENCODE, environment_for, make_repository
from conftest import PROGRAM
from scripted import coder, scripted  # noqa: F401


@pytest.mark.parametrize("planner", ["openai:coder", "anthropic:coder", "opencode"])
def test_a_plan_with_a_fault_is_mended(scripted, tmp_path, planner):  # noqa: F811
    server = scripted((FOLDER / "scenarios/planner.txt").read_text())
    repository, home = make_repository(tmp_path / "repository"), tmp_path / "home"
    home.mkdir()
    environment = environment_for(OPENCODE, home, repository)

    def run(*arguments):
        done = subprocess.run([PROGRAM, *arguments], cwd=repository, env=environment, text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr + str(server.reports())
        return done.stderr

    if planner == "opencode":
        run("connect", "opencode", "--url", server.url, "--write", "--default")
    said = run("epic", "plan", "say hello", "--planner", planner, "--planner-url", f"{server.url}/v1", "--yes")
    assert "leaves the machine" in said
    assert "hello has no acceptance command" in said
    plan = (repository / "epics/say-hello.md").read_text()
    assert plan.startswith("# Say hello\n") and "Accept: `python3" in plan
    assert [r["rule"] for r in server.reports() if r["rule"] != "title"] == ["planned", "mended"]
    status = subprocess.run(["git", "status", "--short"], cwd=repository, capture_output=True, text=True)
    assert status.stdout.split() == ["??", "epics/"]
