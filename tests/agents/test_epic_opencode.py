"""An epic worked through by OpenCode as npm has it, and a model that speaks by a scenario: commits, retries, a failure
for good, kill -9 in the middle, and what the meter counted."""

import json
import os
import signal
import subprocess
import time

import pytest

from agents import FOLDER, OPENCODE, environment_for
from conftest import PROGRAM
from scripted import coder, scripted  # noqa: F401

TASKS = {
    "greeting": ("greeting.py", "", "python3 -m unittest test_greeting"),
    "farewell": ("farewell.py", "", "python3 -m unittest test_farewell"),
    "never": ("never.txt", "", "python3 -c 'raise SystemExit(open(\\\"never.txt\\\").read() != \\\"done\\\")'"),
    "both": ("both.py", "greeting, farewell", "python3 -c 'import both; assert both.both(1)'"),
    "notes": ("NOTES.md", "never", "test -s NOTES.md"),
}
TEST = """\
import unittest

from {name} import {name}


class Test(unittest.TestCase):
    def test_name(self):
        self.assertEqual({name}("Ada"), "{words}, Ada.")
"""


class Work:
    def __init__(self, scripted, tmp_path, tasks):  # noqa: F811
        self.root, home = tmp_path / "repository", tmp_path / "home"
        self.root.mkdir()
        home.mkdir()
        self.usage = tmp_path / "usage.sqlite"
        (home / ".gitconfig").write_text("[user]\nname = a\nemail = a@example.org\n[init]\ndefaultBranch = main\n")
        self.environment = {**environment_for(OPENCODE, home, self.root), "MORAINE_USAGE_FILE": str(self.usage)}
        for name, words in (("greeting", "Hello"), ("farewell", "Goodbye")):
            (self.root / f"test_{name}.py").write_text(TEST.format(name=name, words=words))
        plan = "# Manners\n\nPython without dependencies.\n\n## Tasks\n"
        for name in tasks:
            files, after, accept = TASKS[name]
            plan += f"\n- [ ] **{name}**: Make {name}\n  - Files: {files}\n  - After: {after}\n  - Accept: `{accept}`\n"
        (self.root / "epics").mkdir()
        (self.root / "epics/manners.md").write_text(plan.replace('\\"', '"'))
        self.git("init", "-q")
        self.git("add", ".")
        self.git("commit", "-qm", "Tests and a plan")
        self.server = scripted((FOLDER / "scenarios/epic.txt").read_text(), env={"MORAINE_USAGE_FILE": str(self.usage)})
        self.command = [PROGRAM, "epic", "run", "manners", "--url", self.server.url, "--attempts", "2"]

    def git(self, *arguments):
        return subprocess.run(["git", *arguments], cwd=self.root, env=self.environment, check=True, text=True,
                              capture_output=True).stdout

    def run(self, command, code=0):
        done = subprocess.run(command, cwd=self.root, env=self.environment, text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=280)
        logs = "".join(f"\n== {f.name}\n{f.read_text()[-2000:]}"
                       for f in sorted((self.root / ".git/moraine/epics/manners").glob("*.log")))
        assert done.returncode == code, done.stdout + done.stderr + logs
        return done

    def status(self):
        return json.loads(self.run([PROGRAM, "epic", "status", "manners", "--json"]).stdout)

    def wait_for_agent(self, task, process):
        """Until an agent works on it; false where the program ends before."""
        state = self.root / ".git/moraine/epics/manners/state.json"
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and process.poll() is None:
            if state.exists() and json.loads(state.read_text())["tasks"].get(task, {}).get("group", 0):
                return True
            time.sleep(0.05)
        return False

    def expect_clean(self):
        assert self.git("status", "--porcelain") == ""
        assert len(self.git("worktree", "list").splitlines()) == 1


def test_opencode_does_a_task_at_the_second_attempt(scripted, tmp_path):  # noqa: F811
    work = Work(scripted, tmp_path, ["farewell"])
    work.run(work.command)
    assert work.git("log", "-1", "--format=%s%n%b").splitlines()[:1] == ["Make farewell"]
    assert work.git("show", "--format=", "--name-only").split() == ["epics/manners.md", "farewell.py"]
    work.expect_clean()
    task = work.status()["tasks"][0]
    assert task["status"] == "done" and task["attempts"] == 2
    # The meter knows whose requests they were.
    used = json.loads(work.run([PROGRAM, "usage", "--by", "task", "--json"]).stdout)
    assert [row["task"] for row in used["rows"]] == ["manners/farewell"]
    assert used["rows"][0]["requests"] >= 4 and used["rows"][0]["generated"] > 0
    assert task["requests"] == used["rows"][0]["requests"]


@pytest.mark.slow
def test_an_epic_of_five_tasks_survives_a_kill(scripted, tmp_path, capsys):  # noqa: F811
    work = Work(scripted, tmp_path, TASKS)
    began = time.monotonic()
    process = subprocess.Popen(work.command, cwd=work.root, env=work.environment, stdin=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    assert work.wait_for_agent("never", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert work.git("status", "--porcelain") == ""
    assert [t["status"] for t in work.status()["tasks"]][:3] == ["done", "done", "interrupted"]

    done = work.run(work.command, code=1)
    assert "never: goes on where it was interrupted" in done.stderr
    assert [t["status"] for t in work.status()["tasks"]] == ["done", "done", "failed", "done", "blocked"]
    assert work.git("log", "--format=%s", "--reverse").splitlines() == [
        "Tests and a plan", "Make greeting", "Make farewell", "Make both"]
    work.expect_clean()
    assert not os.path.exists(work.root / "never.txt")
    assert "tried" in work.git("show", "moraine/manners/never:never.txt")
    report = work.run([PROGRAM, "epic", "escalate", "manners", "never"]).stdout
    assert "# never: Make never was not done" in report
    subprocess.run(["python3", "-m", "unittest"], cwd=work.root, env=work.environment, check=True, capture_output=True)
    used = json.loads(work.run([PROGRAM, "usage", "--by", "task", "--json"]).stdout)
    assert {row["task"] for row in used["rows"]} == {f"manners/{t}" for t in ("greeting", "farewell", "never", "both")}
    with capsys.disabled():
        print(f"\nepic of five: {time.monotonic() - began:.0f} s, {used['total']['requests']} requests, "
              f"{used['total']['prompt_fresh']} tokens read, {used['total']['prompt_cached']} known, "
              f"{used['total']['generated']} written")


@pytest.mark.slow
def test_a_server_lost_in_the_middle_of_a_task(scripted, tmp_path):  # noqa: F811
    work = Work(scripted, tmp_path, ["greeting"])
    process = subprocess.Popen([*work.command, "--wait", "1"], cwd=work.root, env=work.environment, text=True,
                               stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert work.wait_for_agent("greeting", process)
    os.kill(work.server.pid, signal.SIGKILL)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1 and "The server has gone while greeting was worked on" in said, said
    assert work.git("status", "--porcelain") == ""
    again = scripted((FOLDER / "scenarios/epic.txt").read_text())
    done = work.run([PROGRAM, "epic", "run", "manners", "--url", again.url, "--attempts", "2"])
    assert "goes on where it was interrupted" in done.stderr and "attempt 1 of 2" in done.stderr
    work.expect_clean()
