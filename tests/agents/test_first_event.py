"""How soon a client hears something: a prompt of 20,000 tokens on each protocol, alone and while another one is being
read. Printed for docs/agents.md; asserted is the order alone."""

import http.client
import json
import threading
import time
from urllib.parse import urlsplit

import pytest

from scripted import coder, scripted  # noqa: F401

pytestmark = pytest.mark.slow

SCENARIO = ">>> answer when user: word\nDone.\n"
N_WORDS = 20000
BODIES = {
    "/v1/chat/completions": lambda text: {"messages": [{"role": "user", "content": text}]},
    "/v1/responses": lambda text: {"input": text},
    "/v1/messages": lambda text: {"max_tokens": 100, "messages": [{"role": "user", "content": text}]},
}


def words(first):
    return first + " word" * N_WORDS


def timed_stream(server, path, text):
    """(ms to the first byte of the body, ms to the answer's text)"""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=120)
    body = json.dumps({"model": "coder", "stream": True, **BODIES[path](text)})
    began = time.monotonic()
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200
    seen, first, text_at = b"", None, None
    while part := answer.read1(65536):
        seen += part
        first = first or time.monotonic()
        if text_at is None and b"Done" in seen:
            assert part != seen  # the first event did not wait for the prompt
            text_at = time.monotonic()
    connection.close()
    assert text_at, seen[-500:]
    return 1e3 * (first - began), 1e3 * (text_at - began)


@pytest.mark.parametrize("path", BODIES)
def test_the_first_event_does_not_wait_for_the_prompt(scripted, capsys, path):  # noqa: F811
    server = scripted(SCENARIO)
    timed_stream(server, path, "Is it there?" + " word" * 10)
    alone = timed_stream(server, path, words("One."))
    other = threading.Thread(target=timed_stream, args=(server, path, words("Another.")))
    other.start()
    time.sleep(0.3)
    beside = timed_stream(server, path, words("Two."))
    other.join()
    assert [r["prompt"] > N_WORDS for r in server.reports()] == [False, True, True, True]
    with capsys.disabled():
        print(f"\n{path}: first event {alone[0]:.0f} ms, text {alone[1]:.0f} ms; beside another such prompt "
              f"{beside[0]:.0f} ms, {beside[1]:.0f} ms")
