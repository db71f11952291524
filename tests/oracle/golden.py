"""Reads golden files.  Owns the format on the Python side: README.md states it, make_logits.py
writes it.  Needs the standard library only."""
from dataclasses import dataclass, field


@dataclass
class Position:
    index: int
    logsumexp: float
    top: list = field(default_factory=list)      # (vocabulary id, logit), likeliest first
    sampled: list = field(default_factory=list)  # (vocabulary id, logit), in the order drawn


@dataclass
class Step:
    top: list  # the two likeliest (vocabulary id, logit); the first is the one taken
    logsumexp: float


@dataclass
class Golden:
    header: dict  # model, sha256, origin, reference
    vocab: int
    tokens: list
    rounding: float = 0.0
    positions: list = field(default_factory=list)
    steps: list = field(default_factory=list)


class _Words:
    def __init__(self, path, text):
        self.path, self.words = path, iter(text.split())

    def word(self):
        if (w := next(self.words, None)) is None:
            raise ValueError(f"{self.path}: the file ends too soon")
        return w

    def expect(self, key):
        if (w := self.word()) != key:
            raise ValueError(f"{self.path}: expected {key}, found {w}")
        return self

    def integer(self):
        return int(self.word())

    def number(self):
        return float(self.word())

    def pairs(self, n):
        return [(self.integer(), self.number()) for _ in range(n)]


def read(path):
    lines = path.read_text("ascii").splitlines()
    if lines[0] != "moraine-golden 1":
        raise ValueError(f"{path}: not a golden file of version 1")
    header, n = {}, 1
    while not lines[n].startswith("vocab "):
        key, _, header[key] = lines[n].partition(" ")
        n += 1
    w = _Words(path, "\n".join(lines[n:]))
    golden = Golden(header, w.expect("vocab").integer(), [])
    golden.tokens = [w.integer() for _ in range(w.expect("tokens").integer())]
    kind = w.word()
    if kind == "rounding":
        golden.rounding = w.number()
        for _ in range(w.expect("positions").integer()):
            p = Position(w.expect("at").integer(), w.expect("logsumexp").number())
            n_top, n_sampled = w.expect("top").integer(), w.expect("sampled").integer()
            p.top, p.sampled = w.pairs(n_top), w.pairs(n_sampled)
            golden.positions.append(p)
    elif kind == "steps":
        for _ in range(w.integer()):
            golden.steps.append(Step(w.pairs(2), w.number()))
    else:
        raise ValueError(f"{path}: unknown section {kind}")
    w.expect("end")
    return golden
