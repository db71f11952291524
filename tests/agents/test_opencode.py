"""OpenCode as npm has it, set up by moraine: reads, edits, tests, sees a failure, mends it, finishes."""

import pytest

from agents import OPENCODE, summary, work
from scripted import coder, scripted  # noqa: F401


@pytest.mark.parametrize(("how", "thinking"), [("connect", False), ("launch", True)], ids=["connect", "launch-thinking"])
def test_opencode_finishes_its_work(scripted, tmp_path, capsys, how, thinking):  # noqa: F811
    result, turns, reports = work(OPENCODE, scripted, tmp_path, how, thinking)
    with capsys.disabled():
        print("\n" + summary(OPENCODE, how, result, turns, reports))
