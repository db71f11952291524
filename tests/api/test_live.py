"""What a case file cannot say: clients that leave, many at once, bodies of 100 MB, keys, aliases."""

import http.client
import json
import socket
import threading
import time
import urllib.parse

import pytest

CHAT = "/v1/chat/completions"
LONG = {"messages": [{"role": "user", "content": "Count to a million."}], "max_tokens": 1500, "ignore_eos": True,
        "temperature": 0}
SHORT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}


def connect(server, timeout=120):
    parts = urllib.parse.urlsplit(server.url)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)


def post(server, path, body, headers=None):
    connection = connect(server)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def n_running(server):
    return sum(slot["is_processing"] for slot in server.get_json("/slots"))


def wait_for(condition, what, timeout_s=30):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_a_closed_socket_ends_all_its_generations(server, stream):
    connection = connect(server)
    connection.request("POST", CHAT, json.dumps({**LONG, "stream": stream, "n": 2}))
    if stream:
        connection.getresponse().read(100)
    wait_for(lambda: n_running(server) >= 1, "the generation runs")
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
    wait_for(lambda: n_running(server) == 0, "nothing runs any more")


def test_many_at_once_all_get_their_answer(server):
    results = []

    def ask(i):
        results.append((i, *post(server, "/completion", {"prompt": f"Number {i}", "n_predict": 4, "temperature": 0})))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(i for i, status, _ in results if status == 200) == list(range(12))
    # In company as alone: the same text.
    for i, _, body in sorted(results, key=lambda result: result[0])[:3]:
        alone = post(server, "/completion", {"prompt": f"Number {i}", "n_predict": 4, "temperature": 0})[1]
        assert body["content"] == alone["content"]


def test_a_body_of_100_mb_is_refused_and_others_go_on(server):
    connection = connect(server)
    size = 100_000_000
    connection.putrequest("POST", CHAT)
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(size))
    connection.endheaders()
    try:
        for _ in range(0, size, 1 << 20):
            connection.send(b" " * (1 << 20))
    except OSError:
        pass  # the server has hung up on us, as it may
    try:
        answer = connection.getresponse()
        assert answer.status == 413
        assert json.loads(answer.read())["error"]["message"]
    except OSError:
        pass
    connection.close()
    assert post(server, CHAT, SHORT)[0] == 200


def test_a_half_open_client_harms_nobody(server):
    parts = urllib.parse.urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as half:
        half.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"mess")
        assert post(server, CHAT, SHORT)[0] == 200


def test_the_first_event_comes_before_the_prompt_is_computed(server):
    """A long prompt takes a while; the head and a first event do not wait for it."""
    n_ctx = server.get_json("/props")["n_ctx"]
    words = "one two three four " * (n_ctx // 8)
    connection = connect(server)
    connection.request("POST", CHAT, json.dumps({"messages": [{"role": "user", "content": words}], "max_tokens": 1,
                                                 "stream": True, "return_progress": True}))
    answer = connection.getresponse()
    if answer.status == 400:  # the fake engine's tokens are bytes
        pytest.skip("the prompt does not fit this server's context")
    events = [json.loads(e[6:]) for e in answer.read().decode().split("\n\n") if e.startswith("data: {")]
    assert events[0]["choices"][0]["delta"]["role"] == "assistant"
    progress = [e["prompt_progress"] for e in events if "prompt_progress" in e]
    assert progress and progress[-1]["processed"] == progress[-1]["total"]
    connection.close()


def test_keys(start_server):
    server = start_server("-c", "512", "--api-key", "right,also-right", "--alias", "named")
    assert server.get_json("/v1/models")["data"][0]["id"] == "named"  # public
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"x-api-key": "righ"}):
        status, body = post(server, CHAT, SHORT, headers)
        assert status == 401 and body["error"]["code"] == "invalid_api_key"
    for headers in ({"Authorization": "Bearer right"}, {"x-api-key": "also-right"}):
        assert post(server, CHAT, SHORT, headers)[0] == 200


def test_sampling_defaults_have_their_source(start_server):
    server = start_server("-c", "512", "--temp", "0.25", "--top-k", "9")
    settings = server.get_json("/props")["default_generation_settings"]
    assert settings["params"]["temperature"] == 0.25 and settings["params"]["top_k"] == 9
    assert settings["sources"]["temperature"] == settings["sources"]["top_k"] == "flags"
    assert settings["sources"]["min_p"] in ("built-in", "file")
    answer = post(server, "/completion", {"prompt": "x", "n_predict": 1, "top_k": 3})[1]["generation_settings"]
    assert answer["top_k"] == 3 and answer["sources"]["top_k"] == "request"
    assert answer["temperature"] == 0.25 and answer["sources"]["temperature"] == "flags"
