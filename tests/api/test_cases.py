"""Every case of cases/*.txt against the running server; the format is in README.md."""

from pathlib import Path

import case_file
import pytest

FILES = sorted((Path(__file__).parent / "cases").glob("*.txt"))


def cases():
    for path in FILES:
        for case in case_file.parse(path.read_text(encoding="utf-8")):
            marks = [pytest.mark.slow] if case.slow else []
            yield pytest.param(path, case, id=f"{path.stem}: {case.title}", marks=marks)


@pytest.mark.parametrize("path, case", list(cases()))
def test_case(server, path, case):
    answer = case_file.send(server.url, case)
    failures = case_file.failures(case, answer)
    if failures:
        body = answer.raw[:2000].decode("utf-8", "replace")
        pytest.fail("\n".join([f"{path.name}:{case.line}: {case.title}", *failures, f"answer: {body}"]), pytrace=False)


def test_every_file_has_cases():
    assert FILES
    for path in FILES:
        assert case_file.parse(path.read_text(encoding="utf-8")), path


def test_checks_can_fail():
    """The runner itself: each kind of check holds for what it should and for nothing else."""
    answer = case_file.Answer(200, {"content-type": "application/json"}, b'{"a": [1, "x", true], "n": null, "o": {}}')
    case = case_file.Case("t", 1, "GET", "/", {}, "", 200)

    def passes(check):
        case.checks = [check]
        return not case_file.failures(case, answer)

    for check in ("Content-Type: application/json", 'body has "x"', "body lacks y", "a[0] == 1", "a[0] >= 1", "a[0] != 2",
                  "a[-1] == true", "a is array", "a size 3", 'a has "x"', "a[1] has x", "b absent", "n is null",
                  "a[3] absent", "$ is object", "a[0] is integer"):
        assert passes(check), check
    for check in ("Content-Type: text/html", "X-None: y", "body has y", 'body lacks "x"', "a[0] == 2", "a[0] > 1", "a[2] == 1",
                  "a[0] is string", "a[2] is number", "a size 2", 'a has "z"', "a absent", "b is null", "b == 1", "a[*] == 1",
                  "a[1] lacks x", "a[0] < \"x\""):
        assert not passes(check), check
