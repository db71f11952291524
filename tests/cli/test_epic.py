"""`moraine epic` and `moraine usage` from the outside, with a shell for an agent and a script for a planner: plans
that are made and taken in, an epic worked through, killed in the middle and taken up again. With OpenCode:
tests/agents/test_epic_opencode.py."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
import urllib.request

import pytest

from conftest import PROGRAM, ROOT

PLAN = """\
# Five files

Each task makes a file.

## Tasks

- [ ] **one**: Make one
  - Files: one
  - Accept: `test -f one`
- [ ] **two**: Make two
  - Files: two
  - After: one
  - Accept: `test -f two || { echo two is missing; false; }`
- [ ] **three**: Make three
  - Files: three
  - Accept: `false`
- [ ] **four**: Make four
  - Files: four
  - After: three
  - Accept: `true`
- [ ] **five**: Make five
  - Files: five
  - Accept: `test -f five`
"""
# The second task needs two attempts, and what the first came to.
AGENT = """\
case $MORAINE_TASK in
two) [ $MORAINE_ATTEMPT = 2 ] && grep -q 'two is missing' && touch two ;;
*) touch $MORAINE_TASK ;;
esac; true"""


class Place:
    """A repository, and a home of its own."""

    def __init__(self, folder):
        self.root, self.home = folder / "repository", folder / "home"
        self.root.mkdir()
        self.home.mkdir()
        (self.home / ".gitconfig").write_text("[user]\nname = a\nemail = a@example.org\n[init]\ndefaultBranch = main\n")
        self.usage = self.home / ".local/share/moraine/usage.sqlite"
        foreign = ("XDG_", "MORAINE_", "LLAMA_ARG_", "GIT_", "OPENAI_", "ANTHROPIC_")
        self.environment = {**{k: v for k, v in os.environ.items() if not k.startswith(foreign)}, "HOME": str(self.home)}
        (self.root / "readme").write_text("hello\n")
        self.git("init", "-q")
        self.git("add", ".")
        self.git("commit", "-qm", "First")

    def git(self, *arguments):
        return subprocess.run(["git", *arguments], cwd=self.root, env=self.environment, check=True, text=True,
                              capture_output=True).stdout

    def command(self, *arguments):
        return [PROGRAM, *arguments]

    def run(self, *arguments, code=0, path=None):
        environment = {**self.environment, **({"PATH": path} if path else {})}
        done = subprocess.run(self.command(*arguments), cwd=self.root, env=environment, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def write_plan(self, text=PLAN, name="five"):
        (self.root / "epics").mkdir(exist_ok=True)
        (self.root / f"epics/{name}.md").write_text(text)

    def subjects(self):
        return self.git("log", "--format=%s", "--reverse").split("\n")[:-1]

    def expect_clean(self):
        assert self.git("status", "--porcelain") == ""
        assert len(self.git("worktree", "list").splitlines()) == 1


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_an_epic_is_worked_through(place):
    place.write_plan()
    done = place.run("epic", "run", "five", "--agent-cmd", AGENT, "--attempts", "2", code=1)
    assert "3 of 5 tasks are done" in done.stderr
    assert "Failed: three." in done.stderr and "Waiting for those: four." in done.stderr
    assert place.subjects() == ["First", "Plan: five", "Make one", "Make two", "Make five"]
    place.expect_clean()
    boxes = [line[3] for line in (place.root / "epics/five.md").read_text().splitlines() if line.startswith("- [")]
    assert boxes == ["x", "x", " ", " ", "x"]

    status = json.loads(place.run("epic", "status", "five", "--json").stdout)
    assert [t["status"] for t in status["tasks"]] == ["done", "done", "failed", "blocked", "done"]
    assert status["tasks"][1]["attempts"] == 2
    assert "five: Five files (3 of 5 done)" in place.run("epic", "status").stdout
    report = place.run("epic", "escalate", "five", "three")
    assert "# three: Make three was not done" in report.stdout and "Attempt 2" in report.stdout
    place.run("epic", "escalate", "one", code=1)  # has not failed

    # Handed to another: it fails again, as nothing can do it; then the plan is mended.
    place.run("epic", "escalate", "three", "--planner", "cmd:touch three", code=2)  # it asks, and nobody answers
    place.run("epic", "escalate", "three", "--planner", "cmd:touch three", "--yes", code=1)
    place.expect_clean()
    text = (place.root / "epics/five.md").read_text()
    (place.root / "epics/five.md").write_text(text.replace("`false`", "`test -f three`"))
    place.run("epic", "escalate", "three", "--planner", "cmd:touch three", "--yes")
    assert place.run("epic", "run", "--agent-cmd", AGENT).returncode == 0
    place.expect_clean()


def test_killed_in_the_middle_it_goes_on(place):
    place.write_plan()
    # The third task's agent waits, so that there is a middle.
    slow = AGENT.replace("case", "[ $MORAINE_TASK = three ] && { touch begun; sleep 600; }\ncase", 1)
    process = subprocess.Popen(place.command("epic", "run", "five", "--agent-cmd", slow), cwd=place.root,
                               env=place.environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    state = place.root / ".git/moraine/epics/five/state.json"
    deadline = time.monotonic() + 60
    group = 0
    while not group and time.monotonic() < deadline:
        time.sleep(0.05)
        if state.exists():
            group = json.loads(state.read_text())["tasks"].get("three", {}).get("group", 0)
    assert group
    other = place.run("epic", "run", "five", "--agent-cmd", AGENT, code=1)
    assert "already" in other.stderr
    assert json.loads(place.run("epic", "status", "five", "--json").stdout)["under_way"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert place.git("status", "--porcelain") == ""
    status = json.loads(place.run("epic", "status", "five", "--json").stdout)
    assert [t["status"] for t in status["tasks"]] == ["done", "done", "interrupted", "waiting", "waiting"]

    done = place.run("epic", "run", "five", "--agent-cmd", AGENT, "--attempts", "2", code=1)
    assert "three: goes on where it was interrupted" in done.stderr
    assert "3 of 5 tasks are done" in done.stderr
    assert place.subjects() == ["First", "Plan: five", "Make one", "Make two", "Make five"]
    place.expect_clean()
    # What the killed one had started is gone too.
    stat = f"/proc/{group}/stat"
    assert not os.path.exists(stat) or open(stat).read().split(")")[1].split()[0] == "Z"


def test_stopped_it_says_so_and_goes_on(place):
    place.write_plan(PLAN.replace("`false`", "`test -f three`"))
    begun = place.home / "begun"
    process = subprocess.Popen(place.command("epic", "run", "--agent-cmd", f"touch {begun}; sleep 600"), cwd=place.root,
                               env=place.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not begun.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in said
    assert place.git("status", "--porcelain") == ""
    assert "5 of 5 tasks are done" in place.run("epic", "run", "--agent-cmd", AGENT).stderr
    place.expect_clean()


def test_a_plan_is_asked_for_again_with_its_faults(place):
    (place.home / "plan.md").write_text(PLAN)
    script = place.home / "planner.sh"
    script.write_text(f"""\
if grep -q 'has faults'; then echo Sure:; echo '<epic>'; cat {place.home}/plan.md; echo '</epic>'
else echo '# Five'; echo; echo '## Tasks'; fi
""")
    refused = place.run("epic", "plan", "make five files", "--planner", f"cmd:sh {script}", code=2)
    assert "--yes" in refused.stderr  # it says what leaves the machine, and asks
    done = place.run("epic", "plan", "make five files", "--planner", f"cmd:sh {script}", "--yes")
    assert "goes to the command" in done.stderr and "no tasks" in done.stderr
    assert (place.root / "epics/five-files.md").read_text() == PLAN
    again = place.run("epic", "plan", "make five files", "--planner", f"cmd:sh {script}", "--yes", code=1)
    assert "--force" in again.stderr
    hopeless = place.run("epic", "plan", "x", "--planner", "cmd:echo no", "--yes", "--repairs", "1", code=1)
    assert "still has faults" in hopeless.stderr
    missing = place.run("epic", "plan", "x", "--planner", "codex", "--yes", code=1, path="/usr/bin:/bin")
    assert "Codex is not installed" in missing.stderr


def test_what_is_taken_in_is_checked(place):
    (place.home / "good.md").write_text(PLAN)
    (place.home / "bad.md").write_text(PLAN.replace("After: one", "After: two"))
    done = place.run("epic", "import", str(place.home / "bad.md"), code=1)
    assert "wait for each other: two after two" in done.stderr
    place.run("epic", "import", str(place.home / "good.md"), "--name", "mine")
    assert (place.root / "epics/mine.md").read_text() == PLAN
    place.run("epic", "import", str(place.home / "good.md"), "--name", "../up", code=2)
    place.run("epic", "run", "nothing", code=1)
    place.run("epic", "dance", code=2)
    (place.root / "stray").write_text("x")
    dirty = place.run("epic", "run", "mine", "--agent-cmd", AGENT, code=1)
    assert "?? stray" in dirty.stderr


def test_usage_is_counted_and_told(place, start_server, monkeypatch):
    monkeypatch.setenv("MORAINE_USAGE_FILE", str(place.usage))
    server = start_server("-c", "512", "--alias", "small")
    request = urllib.request.Request(
        server.url + "/v1/chat/completions",
        json.dumps({"messages": [{"role": "user", "content": "a secret word"}], "max_tokens": 4}).encode(),
        {"Content-Type": "application/json", "User-Agent": "tester/1.0", "X-Moraine-Epic": "five",
         "X-Moraine-Task": "one"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        counted = json.load(answer)["usage"]
    deadline = time.monotonic() + 20
    rows = []
    while not rows and time.monotonic() < deadline:
        time.sleep(0.1)
        if place.usage.exists():
            try:
                rows = sqlite3.connect(place.usage).execute("SELECT * FROM requests").fetchall()
            except sqlite3.OperationalError:  # being made
                pass
    assert len(rows) == 1
    assert b"secret" not in place.usage.read_bytes()
    assert place.usage.stat().st_mode & 0o777 == 0o600

    out = json.loads(place.run("usage", "--by", "task", "--json", "--usage-file", str(place.usage)).stdout)
    assert out["rows"][0]["task"] == "five/one"
    assert out["total"]["prompt_fresh"] + out["total"]["prompt_cached"] == counted["prompt_tokens"]
    assert out["total"]["generated"] == counted["completion_tokens"]
    assert out["rows"][0]["cloud_charge"] > 0
    text = place.run("usage", "--by", "client").stdout
    assert "tester" in text and "would have charged" in text and "Electricity" in text
    csv = place.run("usage", "--csv", "--watts", "100").stdout.splitlines()
    assert csv[0].startswith("day,requests,prompt_fresh") and len(csv) == 2 and not csv[1].endswith(",")
    assert "No request is counted" in place.run("usage", "--epic", "other").stderr


def test_prices_are_edited(place):
    place.run("usage", code=1)  # nothing counted yet
    place.run("usage", "--write-prices")
    prices = place.home / ".config/moraine/prices.json"
    place.run("usage", "--write-prices", code=1)  # never over edited ones
    table = json.loads(prices.read_text())
    table["models"] = [{"name": "mine", "input": 1, "cached": 0, "output": 2}]
    table["compare"] = "mine"
    prices.write_text(json.dumps(table))
    place.usage.parent.mkdir(parents=True)
    assert "no price of gpt-5" in place.run("usage", "--price", "gpt-5", code=1).stderr
    prices.write_text("{")
    assert "cannot be used" in place.run("usage", code=1).stderr


def test_the_example_of_the_documentation_runs(place):
    """docs/workflow.md, letter for letter, with its stand-in for an agent."""
    text = (ROOT / "docs/workflow.md").read_text()
    plan = re.search(r"```markdown\n(.*?)```", text, re.DOTALL).group(1)
    agent = re.search(r"<<'END'\n(.*?)END\n", text, re.DOTALL).group(1)
    (place.home / "plan.md").write_text(plan)
    (place.home / "agent.sh").write_text(agent)
    place.run("epic", "import", str(place.home / "plan.md"))
    done = place.run("epic", "run", "count-words", "--agent-cmd", f"sh {place.home}/agent.sh", "--attempts", "1")
    assert "3 of 3 tasks are done" in done.stderr
    place.expect_clean()
