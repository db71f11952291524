"""API cases as text: how a file is read and a check is made. The format is in README.md."""

import http.client
import json
import re
import urllib.parse
from dataclasses import dataclass, field

TYPES = {"string": str, "number": (int, float), "integer": int, "boolean": bool, "array": list, "object": dict,
         "null": type(None)}
COMPARISONS = {
    "==": lambda a, b: a == b and isinstance(a, bool) == isinstance(b, bool),
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
CHECK = re.compile(r"(?P<path>[\w$][\w$.\[\]*-]*)\s+(?P<verb>==|!=|<=|>=|<|>|is|has|lacks|size|absent)(?:\s+(?P<arg>.*))?$")
HEADER = re.compile(r"(?P<name>[A-Za-z][A-Za-z0-9-]*):\s*(?P<value>.*)$")
ABSENT = object()


@dataclass
class Case:
    title: str
    line: int
    method: str
    path: str
    headers: dict
    body: str
    status: int
    checks: list = field(default_factory=list)

    @property
    def slow(self):
        return self.title.endswith("(slow)")


def parse(text):
    """The cases of a file's text; ValueError with the line where it is not in the format."""
    cases = []
    for match in re.finditer(r"^=== (.*)\n((?:(?!=== ).*\n?)*)", text, re.MULTILINE):
        line = text.count("\n", 0, match.start()) + 1
        call, separator, answer = match[2].partition("\n--- ")
        if not separator:
            raise ValueError(f"line {line}: the case has no '--- STATUS' line")
        head, _, body = call.partition("\n\n")
        first, *header_lines = head.strip("\n").split("\n")
        method, path = first.split(" ", 1)
        headers = {}
        for header in header_lines:
            found = HEADER.match(header)
            if not found:
                raise ValueError(f"line {line}: '{header}' is not a header")
            headers[found["name"]] = found["value"]
        status, *checks = answer.split("\n")
        checks = [check for check in checks if check.strip() and not check.startswith("# ")]
        body = re.sub(r"<<(.*?)\*(\d+)>>", lambda m: m[1] * int(m[2]), body.strip("\n"))
        for check in checks:
            if not (HEADER.match(check) or CHECK.match(check)):
                raise ValueError(f"line {line}: '{check}' is not a check")
        cases.append(Case(match[1].strip(), line, method, path, headers, body, int(status), checks))
    return cases


@dataclass
class Answer:
    status: int
    headers: dict
    raw: bytes

    @property
    def text(self):
        return self.raw.decode("utf-8")  # strict: an answer that is not UTF-8 is a failure

    def json(self):
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            return json.loads(self.raw)
        events = []
        for event in self.text.split("\n\n"):
            for line in event.split("\n"):
                if line.startswith("data: "):
                    data = line.removeprefix("data: ")
                    events.append(data if data == "[DONE]" else json.loads(data))
        return {"events": events, "text": "".join(map(event_text, events))}


def event_text(event):
    if not isinstance(event, dict):
        return ""
    if "content" in event:  # /completion
        return event["content"]
    if event.get("type") == "response.output_text.delta":
        return event["delta"]
    if event.get("type") == "content_block_delta":
        return event["delta"].get("text", "")
    return "".join(choice.get("text") or choice.get("delta", {}).get("content") or ""
                   for choice in event.get("choices", []))


def send(url, case, timeout=120):
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        headers = dict(case.headers)
        if case.body:
            headers.setdefault("Content-Type", "application/json")
        connection.request(case.method, case.path, case.body.encode("utf-8") or None, headers)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def values_at(value, path):
    """All values a path leads to: several where it has [*]; ABSENT where there is nothing."""
    if path in ("$", ""):
        return [value]
    found = re.match(r"\.?(?:\$|([A-Za-z_][\w-]*)|\[(\*|-?\d+)\])(.*)$", path)
    if not found:
        raise ValueError(f"'{path}' is not a path")
    name, index, rest = found.groups()
    if name is not None:
        inner = value.get(name, ABSENT) if isinstance(value, dict) else ABSENT
    elif index == "*":
        return [v for item in value for v in values_at(item, rest)] if isinstance(value, list) else [ABSENT]
    elif index is not None:
        at = int(index)
        inner = value[at] if isinstance(value, list) and -len(value) <= at < len(value) else ABSENT
    else:
        inner = value
    return [ABSENT] if inner is ABSENT else values_at(inner, rest)


def holds(value, verb, arg):
    if verb == "absent":
        return value is ABSENT
    if value is ABSENT:
        return False
    if verb in COMPARISONS:
        return COMPARISONS[verb](value, json.loads(arg))
    if verb == "is":
        wanted = TYPES[arg.strip()]
        return isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    if verb == "size":
        return isinstance(value, (list, dict)) and len(value) == int(arg)
    there = (arg in value) if isinstance(value, str) else (json.loads(arg) in value)
    return there if verb == "has" else not there


def failures(case, answer):
    """What of a case does not hold for an answer: one line each."""
    found = []
    if answer.status != case.status:
        found.append(f"status {answer.status}, not {case.status}")
    for check in case.checks:
        header = HEADER.match(check)
        if header:
            value = answer.headers.get(header["name"].lower())
            if value is None or header["value"] not in value:
                found.append(f"{check}  (is: {value})")
            continue
        path, verb, arg = CHECK.match(check).group("path", "verb", "arg")
        if path == "body":
            if ((arg in answer.text) == (verb == "lacks")):
                found.append(check)
            continue
        try:
            values = values_at(answer.json(), path)
            wrong = [v for v in values if not holds(v, verb, arg)]
            if wrong or not values:
                shown = ["nothing" if v is ABSENT else json.dumps(v)[:200] for v in wrong[:3]]
                found.append(f"{check}  (is: {', '.join(shown) or 'no value'})")
        except (ValueError, TypeError) as error:
            found.append(f"{check}  ({type(error).__name__}: {error})")
    return found
