#!/usr/bin/env python3
"""Serve a model, ask it a first question over the API, and stay up: the last step of `make run`.

Starts `build/moraine serve`, waits until it answers, streams one chat completion to the terminal
through plain HTTP, prints how to go on, and waits for Ctrl-C. Standard library only: this is what
a newcomer runs first. The server is stopped with SIGTERM, as a service manager would, and the exit
code is the server's where it failed.
"""

import argparse
import ctypes
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
QUESTION = "Write a Python function that adds two numbers."
HOST = "127.0.0.1"


class RunError(Exception):
    """One or two sentences: what went wrong and what to do."""


def port_is_free(port):
    """Whether a server could listen there. Connections that are only winding down do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError as error:
            raise RunError(f"Port {port} needs root; choose one above 1023: make run PORT=8082") from error
        except OSError:
            return False
    return True


def die_with_parent():
    """In the server's process: end with this script, however it ends (Linux only)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def start(program, model, port):
    # A session of its own keeps Ctrl-C to this script, which then stops the server in order.
    # Warnings only: a log line for each request would fall into the middle of the answer.
    return subprocess.Popen([program, "serve", str(model), "--host", HOST, "--port", str(port), "--verbosity", "2"],
                            start_new_session=True, preexec_fn=die_with_parent)


def check_alive(server):
    if server.poll() is not None:
        raise RunError(f"The server ended with exit code {server.returncode}; its own words stand above.")


def wait_until_ready(server, port, limit_s=600):
    """Poll /health until it answers 200: the port opens before the model is loaded."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        check_alive(server)
        connection = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    raise RunError(f"The server was not ready after {limit_s} seconds.")


def ask(port, question, max_tokens):
    """Stream an answer to standard output; returns (tokens or None, seconds to the first text, seconds in all)."""
    body = {"model": "default", "stream": True, "stream_options": {"include_usage": True}, "temperature": 0,
            "max_tokens": max_tokens, "messages": [{"role": "user", "content": question}]}
    connection = http.client.HTTPConnection(HOST, port, timeout=300)
    began = time.monotonic()
    first, tokens = None, None
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise RunError(f"The server answered {response.status}: {response.read(2000).decode(errors='replace')}")
    for line in response:
        if not line.startswith(b"data: ") or line.strip() == b"data: [DONE]":
            continue
        event = json.loads(line[len(b"data: "):])
        if "error" in event:
            raise RunError(f"The server broke off: {event['error'].get('message', event['error'])}")
        if event.get("usage"):
            tokens = event["usage"].get("completion_tokens")
        for choice in event.get("choices", []):
            text = choice.get("delta", {}).get("content")
            if text:
                first = first or time.monotonic() - began
                sys.stdout.write(text)
                sys.stdout.flush()
    connection.close()
    return tokens, first, time.monotonic() - began


def how_to_go_on(port):
    base = f"http://{HOST}:{port}"
    return f"""
Talk to it from another terminal:

  curl {base}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{{"messages": [{{"role": "user", "content": "Hello!"}}]}}'

or with OpenAI's package (.venv/bin/python has it):

  from openai import OpenAI
  client = OpenAI(base_url="{base}/v1", api_key="none")
  answer = client.chat.completions.create(
      model="default", messages=[{{"role": "user", "content": "Hello!"}}])
  print(answer.choices[0].message.content)

The program itself: build/moraine --help
The server stays up at {base} until you press Ctrl-C."""


def stop(server, limit_s=15):
    """Ask the server to drain and exit; returns its exit code."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(limit_s)
        except subprocess.TimeoutExpired:
            print(f"The server did not stop within {limit_s} seconds; ending it.", file=sys.stderr)
            server.kill()
            server.wait()
    return server.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/moraine"), help="default: build/moraine")
    parser.add_argument("--model", type=Path, required=True, help="a GGUF file")
    parser.add_argument("--port", type=int, default=8081, help="default: 8081")
    parser.add_argument("--question", default=QUESTION)
    parser.add_argument("--max-tokens", type=int, default=300, help="limit of the first answer (default: 300)")
    parser.add_argument("--once", action="store_true", help="stop after the first answer")
    args = parser.parse_args()

    def interrupt(*_):
        raise KeyboardInterrupt

    # Set even where SIGINT came in ignored, as it does in a shell's background.
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    server = None
    try:
        if not args.model.is_file():
            raise RunError(f"There is no file {args.model}; `make model` fetches the default one.")
        if not port_is_free(args.port):
            raise RunError(f"Port {args.port} of {HOST} is taken, perhaps by an earlier `make run`. "
                           f"Stop that one, or choose another port: make run PORT={args.port + 1}")
        server = start(args.program, args.model, args.port)
        wait_until_ready(server, args.port)
        print(f"\n> {args.question}\n", flush=True)
        tokens, first, total = ask(args.port, args.question, args.max_tokens)
        if first is None:
            raise RunError("The answer was empty.")
        pace = f"{tokens} tokens, " if tokens else ""
        print(f"\n\n({pace}first text after {first:.2f} s, {total:.1f} s in all)", flush=True)
        if not args.once:
            print(how_to_go_on(args.port), flush=True)
            while True:
                check_alive(server)
                try:
                    server.wait(3600)
                except subprocess.TimeoutExpired:
                    pass
    except KeyboardInterrupt:
        print("\nStopping the server ...", flush=True)
    except (RunError, OSError, http.client.HTTPException, ValueError) as error:
        print(f"\nmake run: {error}", file=sys.stderr)
        if server is not None:
            stop(server)
        return 1
    code = stop(server) if server is not None else 130
    if code != 0:
        print(f"make run: the server ended with exit code {code}.", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
