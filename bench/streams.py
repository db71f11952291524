#!/usr/bin/env python3
"""What a running answer feels of a long prompt beside it, and a short request of both.

  bench/streams.py moraine=http://127.0.0.1:18460 [llama-server=http://127.0.0.1:18461] [--prompt 4096] [--rounds 3]

In each round and on each server in turn: a stream alone (its speed), then the same stream with a prompt of some --prompt
tokens sent beside it, and, soon after, a short request as agents send for a title. Told are, for the time while the long
prompt is computed: the longest pause between two tokens of the stream, its speed as a share of what it had alone, and the time
to the title's first token; medians over rounds, of the pause the longest. Prompts are new each time, so that no cache helps.
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


class Stream(threading.Thread):
    """A streamed chat request; `times` are those of its pieces of text."""

    def __init__(self, url, text, n):
        super().__init__()
        self.url, self.times, self.error = url, [], None
        self.body = {"messages": [{"role": "user", "content": text}], "max_tokens": n, "temperature": 0, "ignore_eos": True,
                     "stream": True}
        self.stop = False
        self.began = time.monotonic()
        self.start()

    def run(self):
        request = urllib.request.Request(self.url + "/v1/chat/completions", json.dumps(self.body).encode(),
                                         {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=1800) as answer:
                for line in answer:
                    if self.stop:
                        return
                    if not line.startswith(b"data: {"):
                        continue
                    event = json.loads(line[6:])
                    if "error" in event:
                        raise RuntimeError(str(event["error"]))
                    for choice in event.get("choices") or []:
                        if (choice.get("delta") or {}).get("content") or (choice.get("delta") or {}).get("reasoning_content"):
                            self.times.append(time.monotonic())
        except Exception as e:
            self.error = e

    def wait_for(self, n):
        while len(self.times) < n:
            if not self.is_alive():
                sys.exit(f"streams.py: {self.url}: a stream ended after {len(self.times)} pieces: {self.error}")
            time.sleep(0.005)


def speed(times):
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def measure(url, o, rng):
    def prose(n):
        return " ".join(rng.choice(WORDS) for _ in range(n))

    solo = Stream(url, prose(32), 64)
    solo.join()
    solo.wait_for(2)
    running = Stream(url, prose(32), 100000)
    running.wait_for(8)
    long = Stream(url, prose(o.prompt), 1)
    time.sleep(0.3)
    title = Stream(url, "A title for this: " + prose(16), 4)
    title.wait_for(1)
    long.wait_for(1)
    end = long.times[0]
    after = [t for t in running.times if t > end]  # the pause that the prompt's end cuts
    while running.is_alive() and not after:
        time.sleep(0.01)
        after = [t for t in running.times if t > end]
    running.stop = True
    title.join()
    running.join()
    during = [t for t in running.times if t <= end and t >= long.began] + after[:1]
    before = [t for t in running.times if t < long.began][-1:]
    pauses = [b - a for a, b in zip(before + during, during)] or [end - long.began]
    return {"pause": max(pauses), "share": len([t for t in during if t <= end]) / (end - long.began) / speed(solo.times),
            "title": title.times[0] - title.began, "prompt": end - long.began, "solo": speed(solo.times),
            "n": len(during)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="+", metavar="NAME=URL")
    parser.add_argument("--prompt", type=int, default=4096, help="words, about as many tokens (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    o = parser.parse_args()
    servers = [s.partition("=") for s in o.servers]
    if not all(url for _, _, url in servers):
        parser.error("servers are given as NAME=URL")
    rng = random.Random()
    got = {name: [] for name, _, _ in servers}
    for _ in range(o.rounds):
        for name, _, url in servers:
            got[name].append(measure(url, o, rng))
    load = open("/proc/loadavg").read().split()[0]
    print(f"{datetime.date.today()}, {cpu_name()}, load average {load} at the end, `bench/streams.py "
          f"{' '.join(a for a in sys.argv[1:] if '=' not in a)}`\n")
    print("| server | alone, tok/s | beside a prompt, share | longest pause, s | title's first token, s | the long prompt, s |"
          "\n|---|---|---|---|---|---|")
    for name, rows in got.items():
        mid = {k: statistics.median(r[k] for r in rows) for k in rows[0]}
        print(f"| {name} | {mid['solo']:.1f} | {100 * mid['share']:.0f}% | {max(r['pause'] for r in rows):.2f} | "
              f"{mid['title']:.2f} | {mid['prompt']:.1f} |")


if __name__ == "__main__":
    main()
