"""`moraine bench speculation` on a tiny random model: every part of the report is there, and the tokens are the same."""

import json
import subprocess
import sys

import pytest

from conftest import PROGRAM, ROOT

LIMIT_S = 120


@pytest.fixture(scope="module", params=["llama", "qwen3next"])
def model(request, tmp_path_factory):
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is not there; run `make build`", pytrace=False)
    path = tmp_path_factory.mktemp("speculation") / "tiny.gguf"
    subprocess.run([sys.executable, ROOT / "tools" / "make_models.py", "--arch", request.param, "--preset", "tiny", "--ftype", "q4_k_m",
                    "--out", path], check=True, timeout=LIMIT_S)
    return path


def bench(*arguments):
    return subprocess.run([PROGRAM, "bench", "speculation", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=LIMIT_S)


def report(*arguments):
    done = bench(*arguments, "--json")
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


def test_tasks(model):
    found = report(model, "-n", "24", "-r", "2", "-t", "2")
    assert [task["name"] for task in found["tasks"]] == ["copy", "template", "list", "prose"]
    for task in found["tasks"]:
        assert len(task["off_seconds"]) == len(task["on_seconds"]) == 2
        assert task["bound"] > 0.999 and task["ratio"] > 0
        assert 0 <= task["n_accepted"] <= task["n_drafted"]
        assert sum(d["drafted"] for d in task["drafters"].values()) == task["n_drafted"]


def test_a_task_of_ones_own_repeats_to_the_letter(model, tmp_path):
    task = tmp_path / "mine.txt"
    task.write_text("Count.\n---\none two three one two three one two\n")
    found = [report(model, "-f", task, "-n", "32", "-r", "1")["tasks"] for _ in range(2)]
    assert [t["name"] for t in found[0]] == ["mine"]
    assert found[0][0]["hash"] == found[1][0]["hash"]


def test_set_acceptance(model):
    found = report(model, "--acceptance", "0,1", "-n", "40", "-r", "1")
    assert [a["acceptance"] for a in found["acceptances"]] == [0, 1]
    for a in found["acceptances"]:
        assert [f["length"] for f in a["fixed"]] == [0, 1, 2, 4, 8, 16]
    assert not found["tasks"]


def test_costs(model):
    found = report(model, "--cost", "-d", "32,300", "-r", "1")
    assert [c["n_context"] for c in found["costs"]] == [32, 300]
    assert all([s["rows"] for s in c["steps"]] == list(range(1, 33)) for c in found["costs"])
    assert all(s["seconds"] > 0 for c in found["costs"] for s in c["steps"])


def test_errors(model, tmp_path):
    done = bench(model, "--acceptance", "1.5")
    assert done.returncode == 2 and "--acceptance" in done.stderr
    done = bench(model, "-f", tmp_path / "nothing")
    assert done.returncode == 1 and "--file" in done.stderr
    done = bench()
    assert done.returncode == 2 and "moraine bench speculation MODEL" in done.stderr
