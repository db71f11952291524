"""`moraine doctor` as people type it, on captured systems (tests/system/trees); what it judges is tested beside
the code, in src/system.
"""

import json
import os
import pty
import shutil
import subprocess

import pytest

from conftest import MODEL, PROGRAM, ROOT

TREES = ROOT / "tests" / "system" / "trees"
WARNING, PROBLEM = 3, 4


def doctor(*args, **options):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LLAMA_ARG_", "MORAINE_"))}
    return subprocess.run([PROGRAM, "doctor", *map(str, args)], stdin=options.pop("stdin", subprocess.DEVNULL),
                          capture_output=True, text=True, timeout=60, env=environment, **options)


def tree(name):
    return TREES / name / "root"


@pytest.fixture
def machine(tmp_path):
    """A copy of a captured system that a test may change."""
    def copy(name):
        shutil.copytree(tree(name), tmp_path / name)
        return tmp_path / name
    return copy


def test_this_machine():
    done = doctor()
    assert done.returncode in (0, WARNING, PROBLEM)
    assert done.stdout.startswith("System\n") and "\nNext\n" in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("name, code", [("omarchy-zen-after", 0), ("omarchy-zen-before", WARNING),
                                        ("laptop-without-gpu", 0), ("nothing-there", WARNING)])
def test_the_exit_code_is_the_worst_finding(name, code):
    assert doctor("--root", tree(name)).returncode == code


def test_what_is_asked_for_and_missing_is_a_problem():
    done = doctor("--root", tree("ubuntu-128"), "--gpu-memory", "100G")
    assert done.returncode == PROBLEM
    assert "ttm.pages_limit=26214400" in done.stdout and "sudo update-grub" in done.stdout


def test_json():
    done = doctor("--root", tree("omarchy-zen-before"), "--json")
    report = json.loads(done.stdout)
    assert report["worst"] == "warning"
    assert report["remedy"]["pages"] == 26214400
    assert report["remedy"]["edits"][0]["path"] == "/etc/default/limine"
    assert report["system"]["gpus"][0]["target"] == "gfx1151"
    assert {f["severity"] for f in report["findings"]} <= {"ok", "note", "warning", "problem"}


def test_a_model_by_name_and_what_is_no_name():
    done = doctor("--root", tree("omarchy-zen-after"), "qwen3-coder-next", "-md", "Qwen3-1.7B-Q8_0.gguf", "-c", 128000)
    assert done.returncode == 0
    assert "Qwen3-Coder-Next Q4_K_M and Qwen3-1.7B Q8_0 take" in done.stdout
    assert "name one" in doctor("qwen3").stderr
    assert "no model known by name" in doctor("nonesuch").stderr
    assert doctor("--root", "/nonexistent").returncode == 1


def test_a_file():
    if not MODEL.exists():
        pytest.fail("run `make model`", pytrace=False)
    done = doctor(MODEL, "-c", 1024)
    assert MODEL.name in done.stdout and f"moraine serve {MODEL} -c 1024" in done.stdout


def test_write_asks_and_does_nothing_where_nobody_answers(machine):
    root = machine("omarchy-zen-before")
    before = (root / "etc/default/limine").read_text()
    done = doctor("--root", root, "--write")
    assert done.returncode == 2 and "--yes" in done.stderr
    assert (root / "etc/default/limine").read_text() == before


@pytest.mark.parametrize("answer, written", [(b"y\n", True), (b"n\n", False), (b"\n", False)])
def test_write_on_a_terminal(machine, answer, written):
    root = machine("omarchy-zen-before")
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    done = doctor("--root", root, "--write", stdin=theirs)
    os.close(ours), os.close(theirs)
    assert done.returncode == 0
    assert ("ttm.pages_limit=26214400" in (root / "etc/default/limine").read_text()) == written
    assert (root / "etc/default/limine.before-moraine").exists() == written


@pytest.mark.parametrize("name, path, line", [
    ("omarchy-zen-before", "etc/default/limine", 'KERNEL_CMDLINE[default]+=" ttm.pages_limit=26214400"'),
    ("omarchy-drop-in", "etc/limine-entry-tool.d/moraine.conf", 'KERNEL_CMDLINE[default]+=" ttm.pages_limit=26214400"'),
    ("limine-cachyos", "boot/limine.conf", "rw ttm.pages_limit=26214400"),
    ("conflict", "etc/default/grub", 'GRUB_CMDLINE_LINUX_DEFAULT="quiet splash ttm.pages_limit=26214400"'),
    ("strix-halo-96", "etc/kernel/cmdline", "rw ttm.pages_limit=20971520"),
    ("strix-halo-64", "boot/loader/entries/arch.conf", "rw ttm.pages_limit=12582912"),
])
def test_what_is_written_is_found_by_the_next_run(machine, name, path, line):
    root = machine(name)
    done = doctor("--root", root, "--write", "--yes")
    assert done.returncode == 0, done.stderr
    assert line in (root / path).read_text()
    assert "sudo reboot" in done.stderr
    again = json.loads(doctor("--root", root, "--json").stdout)
    assert again["remedy"]["edits"] == []  # the reboot is missing, nothing else


def test_a_boot_configuration_that_is_not_understood_is_left_alone(machine):
    root = machine("nonsense")
    before = (root / "etc/default/grub").read_bytes()
    done = doctor("--root", root, "--write", "--yes", "--gpu-memory", "100G")
    assert done.returncode == 1 and "by hand" in done.stderr
    assert (root / "etc/default/grub").read_bytes() == before
