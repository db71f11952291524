"""`moraine perplexity`: its numbers, their independence of threads and slices, its errors and Ctrl-C.

That the numbers are llama.cpp's is docs/numerics.md's to say and tests/oracle/test_llama_cpp.py's to repeat;
here they are held to what was recorded then.
"""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time

import pytest

from conftest import MODEL, PROGRAM, ROOT

LIMIT_S = 120
# The first two chunks of bench/perplexity.txt on the default model. What may differ between machines is
# the last digit of a cosine.
RECORDED_NLL = 4.464947


@pytest.fixture(autouse=True, scope="module")
def built():
    for needed, remedy in ((PROGRAM, "make build"), (MODEL, "make model")):
        if not needed.exists():
            pytest.fail(f"{needed} is not there; run `{remedy}`", pytrace=False)


def perplexity(*arguments):
    return subprocess.run([PROGRAM, "perplexity", MODEL, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=LIMIT_S)


def measured(*arguments):
    done = perplexity("--json", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_recorded_number():
    found = measured("--chunks", 2)
    assert (found["chunks"], found["n_ctx"], found["tokens_counted"]) == (2, 512, 2 * 255)
    assert found["nll"] == pytest.approx(RECORDED_NLL, rel=1e-3)
    assert found["perplexity"] == pytest.approx(2.718281828459045 ** found["nll"])


def test_threads_and_slices_change_no_digit():
    one, other = measured("--chunks", 1, "-t", 1, "-ub", 37), measured("--chunks", 1, "-t", 2, "-ub", 512)
    for key in ("nll", "nll_error", "perplexity", "bits_per_byte"):
        assert one[key] == other[key]


def test_a_text_of_ones_own(tmp_path):
    text = (ROOT / "bench/perplexity.txt").read_bytes()
    file = tmp_path / "own.txt"
    file.write_bytes(text[:8000])
    own, embedded = measured("-f", file, "-c", 128, "--chunks", 3), measured("-c", 128, "--chunks", 3)
    assert own["nll"] == embedded["nll"] and own["tokens_in_text"] < embedded["tokens_in_text"]
    file.write_text("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 " * 200)
    assert measured("-f", file, "-c", 128, "--chunks", 3)["nll"] < 0.5 * own["nll"]


def test_errors(tmp_path):
    short = tmp_path / "short.txt"
    short.write_text("Too short.")
    done = perplexity("-f", short)
    assert done.returncode == 1 and re.search(r"has \d+ tokens, and one chunk takes 512", done.stderr)
    assert "cannot be read" in perplexity("-f", tmp_path / "none.txt").stderr
    done = perplexity("-c", 3)
    assert done.returncode == 2 and "at least 4 tokens" in done.stderr


def test_ctrl_c_prints_what_was_counted():
    terminal, theirs = pty.openpty()
    process = subprocess.Popen([PROGRAM, "perplexity", MODEL], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown, deadline = "", time.monotonic() + LIMIT_S
    while "chunk 3 of" not in shown:  # the live line, on a terminal alone
        assert time.monotonic() < deadline and process.poll() is None, shown
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=LIMIT_S)[0].decode()
    os.close(terminal)
    assert process.returncode == 130
    assert int(re.search(r"(\d+) of \d+ chunks", output)[1]) >= 2 and "perplexity" in output


def test_nothing_but_the_result_where_nobody_watches():
    done = perplexity("--chunks", 1)
    assert done.returncode == 0 and done.stderr == "" and len(done.stdout.splitlines()) == 2
