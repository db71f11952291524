"""A server that behaves like the Hugging Face hub as far as `moraine pull` asks it, with the faults that real networks
and servers have. One for the hub itself and one, on another port, for where its redirects lead.

The answers' forms (api/models/.../revision/...?blobs=true, resolve/, X-Linked-Etag, X-Error-Code, Retry-After) are
those of https://huggingface.co.
"""

import hashlib
import json
import re
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" + "0" * 34


class Faults:
    """What goes wrong; each number counts down as it happens."""

    def __init__(self):
        self.cut_after = None  # bytes; each answer ends there, `cuts` times
        self.cuts = 0
        self.no_ranges = False  # 200 with everything
        self.wrong_range = 0  # a 206 of another part
        self.too_much = 0  # more than was asked for
        self.status = []  # (status, headers) instead of the bytes, in turn
        self.listing_status = []
        self.etag_changes_after = None  # requests
        self.linked_etag = None
        self.corrupt = False
        self.bytes_per_second = None
        self.expired = 0  # 403 from where redirects lead
        self.stall_after = None  # bytes; then nothing until the test ends


class Hub:
    def __init__(self, files, repo="user/Tiny-GGUF", gated=False, license="apache-2.0"):
        self.repo, self.files, self.gated, self.license = repo, files, gated, license
        self.listing = None  # in place of the true one
        self.faults = Faults()
        self.token = None  # what a gated repository wants to see
        self.renamed_from = None
        self.same_host = False  # serve the bytes without a redirect
        self.requests = []  # (server, path, headers)
        self.bytes_sent = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.elsewhere = self._server("elsewhere")
        self.server = self._server("hub")
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.bytes_url = f"http://localhost:{self.elsewhere.server_port}"

    def _server(self, name):
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with hub.lock:
                    hub.requests.append((name, self.path, dict(self.headers)))
                try:
                    (hub.at_hub if name == "hub" else hub.at_bytes)(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def close(self):
        self.closing.set()
        for s in (self.server, self.elsewhere):
            s.shutdown()
            s.server_close()

    # --- what the hub says

    def sum(self, name):
        return hashlib.sha256(self.files[name]).hexdigest()

    def answer(self, request, status, body=b"", headers=()):
        request.send_response(status)
        for key, value in dict(headers).items():
            request.send_header(key, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def next_status(self, queue):
        with self.lock:
            return queue.pop(0) if queue else None

    def at_hub(self, request):
        path = urllib.parse.unquote(request.path)
        refused = self.gated and request.headers.get("Authorization") != f"Bearer {self.token}"
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)\?blobs=true", path):
            if wrong := self.next_status(self.faults.listing_status):
                return self.answer(request, wrong[0], b"no", wrong[1])
            if found[1] != self.repo:
                if self.renamed_from == found[1]:
                    return self.answer(request, 307, headers={"Location": f"/api/models/{self.repo}/revision/{found[2]}?blobs=true"})
                return self.answer(request, 401, b"{}", {"X-Error-Code": "RepoNotFound"})
            if found[2] not in ("main", "refs/pr/1", COMMIT):
                return self.answer(request, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            listing = self.listing or {
                "id": self.repo, "sha": COMMIT, "gated": "auto" if self.gated else False, "cardData": {"license": self.license},
                "siblings": [{"rfilename": "README.md", "size": 10, "blobId": "0" * 40}] + [
                    {"rfilename": name, "size": len(data), "lfs": {"sha256": self.sum(name), "size": len(data)}}
                    for name, data in self.files.items()]}
            return self.answer(request, 200, json.dumps(listing).encode(), {"Content-Type": "application/json"})
        if self.renamed_from and path.startswith(f"/{self.renamed_from}/resolve/"):
            return self.answer(request, 307, headers={"Location": request.path.replace(self.renamed_from, self.repo, 1)})
        if found := re.fullmatch(rf"/{self.repo}/resolve/{COMMIT}/(.+)", path):
            name = found[1]
            if refused:
                code = 403 if request.headers.get("Authorization") else 401
                return self.answer(request, code, b"gated", {"X-Error-Code": "GatedRepo"})
            if name not in self.files:
                return self.answer(request, 404, b"", {"X-Error-Code": "EntryNotFound"})
            if self.same_host:
                return self.send_bytes(request, name)
            linked = self.faults.linked_etag or self.sum(name)
            return self.answer(request, 302, b"", {"Location": f"{self.bytes_url}/{urllib.parse.quote(name)}?signature=1",
                                                   "X-Linked-Etag": f'"{linked}"', "X-Linked-Size": str(len(self.files[name]))})
        self.answer(request, 404)

    # --- where the bytes are

    def at_bytes(self, request):
        name = urllib.parse.unquote(request.path[1:].split("?")[0])
        if self.faults.expired > 0:
            self.faults.expired -= 1
            return self.answer(request, 403, b"<Error>AccessDenied</Error>")
        self.send_bytes(request, name)

    def send_bytes(self, request, name):
        f, data = self.faults, self.files[name]
        if wrong := self.next_status(f.status):
            return self.answer(request, wrong[0], b"no", wrong[1])
        if f.corrupt:
            data = data[:len(data) // 2] + b"?" + data[len(data) // 2 + 1:]
        first, last = 0, len(data) - 1
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("Range", ""))
        status = 200
        if asked and not f.no_ranges:
            first, last = int(asked[1]), min(int(asked[2]), len(data) - 1)
            status = 206
        if status == 206 and f.wrong_range > 0:
            f.wrong_range -= 1
            first, last = (first + 7) % len(data), last
        body = memoryview(data)[first:last + 1]
        if f.too_much > 0 and status == 206:
            f.too_much -= 1
            body = bytes(body) + b"more"
        request.send_response(status)
        etag = "s3-etag"
        if f.etag_changes_after is not None:
            f.etag_changes_after -= 1
            etag += "-new" if f.etag_changes_after < 0 else ""
        request.send_header("ETag", f'"{etag}"')
        if status == 206:
            request.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        cut = None
        with self.lock:
            if f.cuts > 0:
                f.cuts -= 1
                cut = f.cut_after
        sent = 0
        step = 64 << 10
        while sent < len(body):
            if cut is not None and sent >= cut:
                request.close_connection = True
                request.wfile.flush()
                return
            if f.stall_after is not None and self.bytes_sent >= f.stall_after:
                self.closing.wait()
                return
            n = min(step, len(body) - sent, cut - sent if cut is not None else step)
            request.wfile.write(body[sent:sent + n])
            sent += n
            with self.lock:
                self.bytes_sent += n
            if f.bytes_per_second:
                time.sleep(n / f.bytes_per_second)
