"""The golden files are whole and still belong to their models.  Needs pytest and numpy, no torch."""
import hashlib
import math
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import golden

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FILES = sorted((HERE / "golden").glob("*.golden"))
MADE = [p for p in FILES if p.name.startswith("tiny-")]


def test_there_are_golden_files():
    assert len(MADE) >= 6


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_numbers_are_consistent(path):
    g = golden.read(path)
    assert all(0 <= t < g.vocab for t in g.tokens)
    for step in g.steps:
        (_, first), (_, second) = step.top
        assert second <= first <= step.logsumexp + 1e-5
    assert bool(g.positions) != bool(g.steps)
    assert [p.index for p in g.positions] == sorted({p.index for p in g.positions})
    for p in g.positions:
        assert p.index < len(g.tokens)
        top = [logit for _, logit in p.top]
        assert top == sorted(top, reverse=True)
        # The recorded tokens are distinct, so together they hold at most all of the probability.
        seen = dict(p.top) | dict(p.sampled)
        assert all(0 <= token < g.vocab for token in seen)
        assert all(logit <= top[-1] for token, logit in p.sampled if token not in dict(p.top))
        assert sum(math.exp(x - p.logsumexp) for x in seen.values()) < 1 + 1e-5


@pytest.mark.parametrize("path", MADE, ids=lambda p: p.stem)
def test_the_random_model_is_made_again_byte_for_byte(path, tmp_path):
    g = golden.read(path)
    command = shlex.split(g.header["origin"])
    assert command[:2] == ["python3", "tools/make_models.py"] and command[-1] == g.header["model"]
    model = tmp_path / command[-1]
    subprocess.run([sys.executable, ROOT / command[1], *command[2:-1], model], check=True)
    assert hashlib.sha256(model.read_bytes()).hexdigest() == g.header["sha256"]
