"""Python's jinja2 set up as transformers sets it up for apply_chat_template: the reference our
rendering is compared with, byte for byte. Written from what transformers' documentation and
behaviour say; transformers itself is not needed.
"""
import datetime
import json

import jinja2
import jinja2.ext
import jinja2.sandbox


class Generation(jinja2.ext.Extension):
    """{% generation %} marks what the assistant said, for training; it renders its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def environment(now):
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def strftime_now(format):
        return datetime.datetime.fromtimestamp(now, datetime.timezone.utc).replace(tzinfo=None).strftime(format)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    return env


class Reference:
    def __init__(self, now):
        self.environment = environment(now)
        self.compiled = {}

    def render(self, job):
        """{"text": ...} or {"error": ...}, with "raised" where the template itself refused."""
        try:
            text = job["template"]
            if text not in self.compiled:
                self.compiled[text] = self.environment.from_string(text)
            rendered = self.compiled[text].render(
                messages=job["messages"], tools=job["tools"], documents=None,
                add_generation_prompt=job["add_generation_prompt"],
                **{"bos_token": job["bos_token"], "eos_token": job["eos_token"], **(job["variables"] or {})})
            return {"text": rendered}
        except jinja2.exceptions.TemplateError as e:
            return {"error": f"{type(e).__name__}: {e}", "raised": type(e) is jinja2.exceptions.TemplateError}
        except Exception as e:  # what a template does to a value it did not expect
            return {"error": f"{type(e).__name__}: {e}", "raised": False}
