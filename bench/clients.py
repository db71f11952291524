#!/usr/bin/env python3
"""Several clients at once against OpenAI-compatible servers: what all of them get together, and how long the first token of
each takes.

  bench/clients.py moraine=http://127.0.0.1:18460 llama-server=http://127.0.0.1:18461 [--clients 1,4,8] [-n 64] [--rounds 3]

Each client sends one streamed chat request, all at the same moment: a prompt of its own of some --prompt tokens (no two
share a beginning, so that no cache helps; with --shared they begin alike) and -n tokens to generate, end or not. Servers
take turns round by round (A B A B ...), since machines drift; only one of them works at a time. bench/servers.py starts
them. Prints a Markdown table: all generated tokens over the time from the first request to the last token; the mean and
the longest time to a first token; medians over rounds, and ratios to the first server.
"""

import argparse
import datetime
import json
import random
import statistics
import sys
import threading
import time
import urllib.request

from peers import cpu_name

WORDS = "the file function returns error value path test when build config parse token cache layer model server".split()


class Client(threading.Thread):
    """One streamed request; afterwards n_tokens, first_s and last_s hold what it got, or error why not."""

    def __init__(self, url, body, at):
        super().__init__()
        self.url, self.body, self.at = url, body, at
        self.n_tokens, self.n_prompt, self.first_s, self.last_s, self.error = 0, 0, None, None, None

    def run(self):
        self.at.wait()
        began = time.monotonic()
        request = urllib.request.Request(self.url + "/v1/chat/completions", json.dumps(self.body).encode(),
                                         {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=1800) as answer:
                for line in answer:
                    if line.startswith(b"data: {"):
                        self.take(json.loads(line[6:]), time.monotonic() - began)
        except Exception as e:  # a server that refuses is a result as well
            self.error = f"{type(e).__name__}: {e}"
        if self.error is None and (self.first_s is None or self.n_tokens == 0):
            self.error = "the stream brought no token"

    def take(self, event, now):
        if event.get("error"):
            self.error = str(event["error"])
        for choice in event.get("choices") or []:
            delta = choice.get("delta") or {}
            if delta.get("content") or delta.get("reasoning_content"):
                self.first_s = self.first_s or now
                self.last_s = now
        if event.get("usage"):
            self.n_tokens, self.n_prompt = event["usage"]["completion_tokens"], event["usage"]["prompt_tokens"]


def requests(n_clients, o, rng):
    def prose(n_tokens):
        return " ".join(rng.choice(WORDS) for _ in range(n_tokens))

    common = prose(o.prompt) if o.shared else ""
    for _ in range(n_clients):
        text = common + prose(o.prompt // 8) if o.shared else prose(o.prompt)
        yield {"messages": [{"role": "user", "content": text}], "max_tokens": o.generate, "temperature": 0, "ignore_eos": True,
               "stream": True, "stream_options": {"include_usage": True}}


def measure(url, n_clients, o, rng):
    at = threading.Event()
    clients = [Client(url, body, at) for body in requests(n_clients, o, rng)]
    for c in clients:
        c.start()
    at.set()
    for c in clients:
        c.join()
    failed = [c.error for c in clients if c.error]
    if failed:
        sys.exit(f"clients.py: {url}: {len(failed)} of {n_clients} requests failed: {failed[0]}")
    return {"rate": sum(c.n_tokens for c in clients) / max(c.last_s for c in clients),
            "first": statistics.mean(c.first_s for c in clients), "longest": max(c.first_s for c in clients),
            "prompt": statistics.mean(c.n_prompt for c in clients)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="+", metavar="NAME=URL")
    parser.add_argument("--clients", default="1,4,8", help="(default: %(default)s)")
    parser.add_argument("--prompt", type=int, default=256, help="words, about as many tokens (default: %(default)s)")
    parser.add_argument("-n", "--generate", type=int, default=64, help="tokens (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--shared", action="store_true", help="prompts begin alike and differ in their last eighth")
    parser.add_argument("--seed", type=int, default=None)
    o = parser.parse_args()
    servers = [s.partition("=") for s in o.servers]
    if not all(url for _, _, url in servers):
        parser.error("servers are given as NAME=URL")
    rng = random.Random(o.seed)
    for _, _, url in servers:  # what is slow the first time
        measure(url, 1, argparse.Namespace(prompt=16, generate=4, shared=False), rng)
    counts = [int(n) for n in o.clients.split(",")]
    got = {(name, n): [] for name, _, _ in servers for n in counts}
    for _ in range(o.rounds):
        for n in counts:
            for name, _, url in servers:
                got[name, n].append(measure(url, n, o, rng))
    load = [open("/proc/loadavg").read().split()[0]]
    print(f"{datetime.date.today()}, {cpu_name()}, load average {load[0]} at the end, `bench/clients.py "
          f"{' '.join(a for a in sys.argv[1:] if '=' not in a)}`\n")
    print("| clients | server | prompt | tok/s, all together | first token, s | the last one's, s |\n|---|---|---|---|---|---|")
    for n in counts:
        for name, _, _ in servers:
            mid = {k: statistics.median(r[k] for r in got[name, n]) for k in got[name, n][0]}
            base = {k: statistics.median(r[k] for r in got[servers[0][0], n]) for k in mid}
            ratio = "" if name == servers[0][0] else f" ({servers[0][0]}: {base['rate'] / mid['rate']:.2f}x)"
            times = "" if name == servers[0][0] else f" ({mid['first'] / base['first']:.2f}x)"
            print(f"| {n} | {name} | {mid['prompt']:.0f} | {mid['rate']:.1f}{ratio} | {mid['first']:.2f}{times} "
                  f"| {mid['longest']:.2f} |")


if __name__ == "__main__":
    main()
