"""Codex, Claude Code and Qwen Code as npm has them, set up by moraine, at the work of test_opencode.py."""

import pytest

from agents import CLAUDE, CODEX, QWEN, summary, work
from scripted import coder, scripted  # noqa: F401

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("how", "thinking"), [("connect", False), ("launch", True)], ids=["connect", "launch-thinking"])
@pytest.mark.parametrize("client", [CODEX, CLAUDE, QWEN], ids=lambda c: c.name)
def test_a_client_finishes_its_work(scripted, tmp_path, capsys, client, how, thinking):  # noqa: F811
    result, turns, reports = work(client, scripted, tmp_path, how, thinking)
    with capsys.disabled():
        print("\n" + summary(client, how, result, turns, reports))
