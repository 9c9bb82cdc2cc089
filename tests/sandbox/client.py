"""The tests' own client: plain HTTP, so that nothing between a test and the sandbox interprets anything."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from airflow_provider_batch.sandbox import Sandbox

APP = "sandbox-app-key"
REST = "sandbox-rest-key"
AUDIENCES = f"/1.0/{APP}/custom-audience"
VIP = f"{AUDIENCES}/vip"
PHONES = f"/1.1/{APP}/custom-audience/phones"
HEADERS = {"X-Authorization": REST, "Content-Type": "application/json"}

#: 2018-06-29T13:12:09, the moment of the documented example.
DOCUMENTED = 1_530_277_929.0

PROJECT = "project_sandbox"
CEP = "/2.11/audiences"
CEP_HEADERS = {"Authorization": f"Bearer {REST}", "X-Batch-Project": PROJECT, "Content-Type": "application/json"}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> tuple[int, int, str]:
        """The HTTP status, numeric code and name, as in the table of the 1.0 update page."""
        return self.status, self.json["code"], self.json["message"].partition(":")[0]

    @property
    def cep_error(self) -> tuple[int, str]:
        """The HTTP status and error_code of a body with exactly the two documented keys."""
        assert list(self.json) == ["error_code", "error_message"]
        return self.status, self.json["error_code"]


def send(
    sandbox: Sandbox,
    method: str,
    path: str = VIP,
    body: object = None,
    *,
    raw: bytes | None = None,
    headers: Mapping[str, str] = HEADERS,
    timeout: float = 10,
) -> Reply:
    content = raw if raw is not None else None if body is None else json.dumps(body).encode()
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(sandbox.url).port or 0, timeout=timeout)
    try:
        connection.request(method, path, content, dict(headers))
        response = connection.getresponse()
        return Reply(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def post(sandbox: Sandbox, verb: str, body: object, *, headers: Mapping[str, str] = CEP_HEADERS) -> Reply:
    """Send a write of the API 2.x."""
    return send(sandbox, "POST", f"{CEP}/{verb}", body, headers=headers)


def get(sandbox: Sandbox, verb: str, *, headers: Mapping[str, str] = CEP_HEADERS, **query: object) -> Reply:
    """Send a read of the API 2.x; `from_` stands for its parameter `from`."""
    encoded = urlencode({name.rstrip("_"): value for name, value in query.items()})
    return send(sandbox, "GET", f"{CEP}/{verb}?{encoded}" if encoded else f"{CEP}/{verb}", headers=headers)


def changes(add: Iterable[str] = (), remove: Iterable[str] = (), audience_type: str = "custom_ids") -> dict[str, Any]:
    elements = [{"action": "add", "id": i} for i in add] + [{"action": "remove", "id": i} for i in remove]
    return {"type": audience_type, "ids": elements}
