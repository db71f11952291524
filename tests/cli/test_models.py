"""Models by name: what `moraine list` finds on a disk, and what commands make of names.

Which text means which model is tested beside the code, in src/hub.
"""

import json
import os
import subprocess

import pytest

from conftest import MODEL, PROGRAM, ROOT

COMMIT = "a" * 40
DIGEST = "b" * 64


def moraine(*args, home, cwd=None, env=None):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LLAMA_", "MORAINE_", "HF_", "OLLAMA_", "XDG_"))}
    return subprocess.run([PROGRAM, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          env=environment | {"HOME": str(home)} | (env or {}), cwd=cwd or home)


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


@pytest.fixture
def home(tmp_path):
    """A home folder with the default model in each of the places that programs keep models in."""
    if not MODEL.exists():
        pytest.fail("run `make model`", pytrace=False)
    hub = tmp_path / ".cache/huggingface/hub/models--bartowski--SmolLM2-135M-Instruct-GGUF"
    link(hub / f"snapshots/{COMMIT}/SmolLM2-135M-Instruct-Q4_1.gguf", MODEL)
    link(tmp_path / ".lmstudio/models/lmstudio-community/Tiny-GGUF/Tiny-Q8_0.gguf", ROOT / "README.md")
    link(tmp_path / f".ollama/models/blobs/sha256-{DIGEST}", ROOT / "LICENSE")
    manifest = tmp_path / ".ollama/models/manifests/registry.ollama.ai/library/smollm2/135m"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{DIGEST}"}]}))
    link(tmp_path / ".cache/llama.cpp/ggml-org_other-Q4_0.gguf", ROOT / "CHANGELOG.md")
    return tmp_path


def test_list_finds_what_other_programs_fetched(home):
    models = {m["name"]: m for m in json.loads(moraine("list", "--json", home=home).stdout)}
    assert {name: m["origin"] for name, m in models.items()} == {
        "bartowski/SmolLM2-135M-Instruct-GGUF:Q4_1": "hub cache", "lmstudio-community/Tiny-GGUF:Q8_0": "LM Studio",
        "smollm2:135m": "Ollama", "ggml-org_other:Q4_0": "llama.cpp"}
    smol = models["bartowski/SmolLM2-135M-Instruct-GGUF:Q4_1"]
    assert smol["size_bytes"] == MODEL.stat().st_size and smol["quantization"] == "Q4_1"
    shown = moraine("list", home=home).stdout
    assert "~/.ollama/models/blobs/sha256-" in shown and " 98 MB " in shown
    assert moraine("list", "tiny", home=home).stdout.count("\n") == 2


def test_the_hubs_cache_may_be_elsewhere(home, tmp_path):
    moved = tmp_path / "elsewhere"
    (home / ".cache/huggingface").rename(moved)
    assert "bartowski" not in moraine("list", home=home).stdout
    assert "bartowski" in moraine("list", home=home, env={"HF_HOME": str(moved)}).stdout
    assert "bartowski" in moraine("list", home=home, env={"HF_HUB_CACHE": str(moved / "hub")}).stdout


@pytest.mark.parametrize("name", ["bartowski/SmolLM2-135M-Instruct-GGUF:Q4_1", "SmolLM2-135M-Instruct-GGUF", "135m-instruct"])
def test_commands_take_names(home, name):
    done = moraine("inspect", name, "--json", home=home)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["architecture"] == "llama"
    assert moraine("run", "-hf", "bartowski/SmolLM2-135M-Instruct-GGUF:Q4_1", "Hi", "-n", "1", home=home).returncode == 0


def test_a_name_that_two_have_lists_both(home):
    done = moraine("run", "smol", "Hi", home=home)
    assert done.returncode == 1
    assert "may be any of these" in done.stderr
    assert "bartowski/SmolLM2-135M-Instruct-GGUF:Q4_1" in done.stderr and "smollm2:135m" in done.stderr


@pytest.mark.parametrize("name, words", [
    ("someone/Some-GGUF:Q4_K_M", ["on this disk", "moraine pull someone/Some-GGUF:Q4_K_M"]),
    ("smolm2:135m", ["Did you mean smollm2:135m?"]),
    ("nothing-like-it", ["There are", "moraine pull USER/REPO"]),
    ("missing.gguf", ["There is no file missing.gguf."]),
])
def test_an_unknown_name_says_what_to_do(home, name, words):
    for command in ("serve", "run", "bench", "inspect", "perplexity"):
        done = moraine(command, name, home=home)
        assert done.returncode == 1
        for word in words:
            assert word in done.stderr


def test_doctor_judges_a_model_by_its_name(home):
    done = moraine("doctor", "bartowski/SmolLM2", home=home)
    assert "SmolLM2-135M-Instruct-Q4_1.gguf" in done.stdout, done.stderr
    assert "no model known by name" in moraine("doctor", "nothing-like-it", home=home).stderr


def test_a_set_that_lacks_files(home, tmp_path):
    (tmp_path / "big-Q4_0-00001-of-00003.gguf").touch()
    (tmp_path / "big-Q4_0-00003-of-00003.gguf").touch()
    assert "1 of its 3 files missing" in moraine("list", home=home).stdout
    assert "1 of 3 files are missing" in moraine("run", "big", "Hi", home=home).stderr


def test_without_a_home(tmp_path):
    assert moraine("list", home="", cwd=tmp_path).returncode == 0


def test_names_that_would_take_the_terminal_over_are_left_out(home, tmp_path):
    (tmp_path / "a\x1b[2Jb-Q4_0.gguf").touch()
    done = moraine("list", home=home)
    assert "\x1b" not in done.stdout and "[2J" not in done.stdout
