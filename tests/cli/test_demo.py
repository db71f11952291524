"""`moraine demo` on a tiny random model: every act takes place, and nothing is left behind."""

import json
import os
import subprocess
import sys

import pytest

from conftest import MODEL, PROGRAM, ROOT

LIMIT_S = 300


def demo(model, temporary, *more):
    if not PROGRAM.exists():
        pytest.fail(f"{PROGRAM} is not there; run `make build`", pytrace=False)
    environment = os.environ | {"TMPDIR": str(temporary), "XDG_RUNTIME_DIR": str(temporary), "PATH": "/usr/bin:/bin"}
    return subprocess.run([PROGRAM, "demo", model, *more], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=LIMIT_S, env=environment)


def all_is_well(done, temporary):
    assert done.returncode == 0, done.stderr + done.stdout
    report = json.loads(done.stdout)
    assert report["all_well"]
    ours = report["servers"][0]
    assert ours["copy"]["text_hash"] == ours["copy_without_speculation"]["text_hash"]
    n = ours["long_prompt"]["n_prompt"]
    assert ours["long_prompt"]["n_evaluated"] > n // 2
    for again in ("long_prompt_again", "long_prompt_after_restart"):
        assert ours[again]["n_prompt"] == n and ours[again]["n_evaluated"] < n // 4, again
    assert ours["resumed"]["n_evaluated"] < ours["resumed"]["n_prompt"] // 4
    assert ours["resumed_same"] and ours["tool_call"].startswith("get_weather(")
    assert not list(temporary.glob("moraine-demo-*"))


def test_every_act(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    subprocess.run([sys.executable, ROOT / "tools" / "make_models.py", "--arch", "llama", "--preset", "tiny", "--ftype", "q4_k_m",
                    "--out", folder / "tiny.gguf"], check=True, timeout=60)
    temporary = folder / "tmp"
    temporary.mkdir()
    all_is_well(demo(folder / "tiny.gguf", temporary, "-t", "2", "--json"), temporary)


@pytest.mark.slow
def test_the_standard_model(tmp_path):
    if not MODEL.exists():
        pytest.fail("run `make model`", pytrace=False)
    all_is_well(demo(MODEL, tmp_path, "--json"), tmp_path)


def test_a_model_that_is_not_there_is_said(tmp_path):
    done = demo(tmp_path / "nothing.gguf", tmp_path)
    assert done.returncode == 1 and "nothing.gguf" in done.stderr
