"""A double of Google Cloud Storage: the calls of its JSON API that a folder makes, with the condition of a create."""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


class Gcs:
    """Objects by name. ``conditions`` are those of the uploads, in their order."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.conditions: list[str | None] = []
        self._lock = threading.Lock()

    def upload(self, name: str, content: bytes, condition: str | None) -> bool:
        """Store an object, unless the condition demands that there is none."""
        with self._lock:
            self.conditions.append(condition)
            if condition == "0" and name in self.objects:
                return False
            self.objects[name] = content
            return True

    def metadata(self, name: str) -> dict[str, str]:
        content = self.objects[name]
        digest = b64encode(md5(content).digest()).decode()
        return {
            "kind": "storage#object",
            "name": name,
            "bucket": "bucket",
            "size": str(len(content)),
            "md5Hash": digest,
        }

    def listing(self, prefix: str, delimiter: str) -> dict[str, Any]:
        names = sorted(name for name in self.objects if name.startswith(prefix))
        rests = {name: name[len(prefix) :].partition(delimiter) for name in names} if delimiter else {}
        folders = {prefix + rest[0] + delimiter for rest in rests.values() if rest[1]}
        items = [name for name in names if not (name in rests and rests[name][1])]
        return {"items": [self.metadata(name) for name in items], "prefixes": sorted(folders)}


@contextmanager
def running() -> Iterator[tuple[str, Gcs]]:
    """Yield the address of a double, and the double."""
    gcs = Gcs()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            head, _, rest = self._body().partition(b"\n\n")[2].partition(b"\n--==0==")
            content = rest.partition(b"\n\n")[2].removesuffix(b"\n--==0==--")
            name = json.loads(head)["name"]
            if gcs.upload(name, content, self._query().get("ifGenerationMatch")):
                self._answer(200, gcs.metadata(name))
            else:
                self._answer(412, {"error": {"code": 412, "message": "conditionNotMet"}})

        def do_GET(self) -> None:
            query, name = self._query(), self._name()
            if not name:
                self._answer(200, gcs.listing(query.get("prefix", ""), query.get("delimiter", "")))
            elif name not in gcs.objects:
                self._answer(404, {"error": {"code": 404, "message": "none"}})
            elif query.get("alt") != "media":
                self._answer(200, gcs.metadata(name))
            else:
                part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
                content = gcs.objects[name]
                self._answer(206, content[int(part[1]) : int(part[2]) + 1]) if part else self._answer(200, content)

        def do_DELETE(self) -> None:
            self._answer(204 if gcs.objects.pop(self._name(), None) is not None else 404)

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _query(self) -> dict[str, str]:
            return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}

        def _name(self) -> str:
            return unquote(urlsplit(self.path).path.partition("/o/")[2])

        def _answer(self, status: int, content: object = b"") -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", gcs
        finally:
            server.shutdown()
            thread.join()
