"""The routes of the API: method and path select the verb."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from airflow_provider_batch.sandbox.names import AUDIENCE_NAME
from airflow_provider_batch.sandbox.request import ApiRequest

Platform = Literal["mep", "cep"]
AudienceVerb = Literal["create", "update", "replace", "view", "list", "delete"]

CEP_VERSION = re.compile(r"2\.[0-9]{1,3}")
UNKNOWN_ROUTE = "unknown route"

# By method and by how many names follow the path /{version}/{api_key}/custom-audience.
_MEP_VERBS: dict[tuple[str, int], AudienceVerb] = {
    ("POST", 1): "create",
    ("PATCH", 1): "update",
    ("PUT", 1): "replace",
    ("GET", 1): "view",
    ("DELETE", 1): "delete",
    ("GET", 0): "list",
}
_CEP_VERBS: dict[tuple[str, str], AudienceVerb] = {
    ("POST", "create"): "create",
    ("POST", "update"): "update",
    ("POST", "replace"): "replace",
    ("GET", "view"): "view",
    ("GET", "list"): "list",
    ("POST", "remove"): "delete",
}
#: Routes that are not about audiences, by method and by what follows the version, or the key.
_CEP_OTHERS = frozenset(
    {
        ("POST", "profiles/update"),
        ("POST", "profiles/mass-update"),
        ("POST", "profiles/export"),
        ("GET", "exports/view"),
        ("GET", "exports/list"),
        ("GET", "exports/download"),
        ("GET", "orchestrations/list"),
        ("GET", "orchestrations/stats"),
    }
)
_MEP_READS = frozenset({("GET", "campaigns/list"), ("GET", "campaigns/stats"), ("GET", "transactional/stats")})


@dataclass(frozen=True, slots=True)
class Route:
    """
    The route of one request.

    :param verb: of an audience, or else the words of the path; None if the route does not exist.
    :param key: the key of the app, from the path, or of the project, from the header.
    :param name: the name of the audience, campaign or group, from the path; empty if the path has none.
    :param label: the path for the record of calls, without keys and ids.
    """

    platform: Platform
    version: str
    verb: str | None
    key: str
    name: str
    label: str

    @property
    def token_status(self) -> int | None:
        """The HTTP status of an accepted write that returns an indexing token; None for other routes."""
        if self.verb is not None and "/" in self.verb:
            return None
        if self.platform == "mep":
            return 201 if self.verb in {"update", "replace"} else None
        return None if self.verb in {None, "view", "list"} else 202


def route_of(request: ApiRequest) -> Route:
    """Return the route of *request*."""
    match request.path.split("/"):
        case ["", ("1.0" | "1.1") as version, key, "custom-audience", *names] if key and len(names) < 2 and all(names):
            name = unquote(names[0]) if names else ""
            verb = _MEP_VERBS.get((request.method, len(names)))
            return Route("mep", version, verb, unquote(key), name, _mep_label(version, name))
        case ["", version, "audiences", word] if CEP_VERSION.fullmatch(version):
            verb = _CEP_VERBS.get((request.method, word))
            label = f"/{version}/audiences/{word}" if verb else UNKNOWN_ROUTE
            return Route("cep", version, verb, request.headers.get("x-batch-project", ""), "", label)
        case ["", version, resource, word] if (request.method, f"{resource}/{word}") in _CEP_OTHERS and (
            CEP_VERSION.fullmatch(version)
        ):
            read = f"{resource}/{word}"
            return Route("cep", version, read, request.headers.get("x-batch-project", ""), "", f"/{version}/{read}")
        case ["", "1.1", key, resource, word, *names] if (request.method, f"{resource}/{word}") in _MEP_READS and (
            key and len(names) == (word == "stats") and all(names)
        ):
            read = f"{resource}/{word}"
            path = f"/1.1/{{api_key}}/{read}" + ("/{name}" if names else "")
            return Route("mep", "1.1", read, unquote(key), unquote(names[0]) if names else "", path)
        case ["", version, *_] if CEP_VERSION.fullmatch(version):
            return Route("cep", version, None, "", "", UNKNOWN_ROUTE)
    return Route("mep", "", None, "", "", UNKNOWN_ROUTE)


def _mep_label(version: str, name: str) -> str:
    path = f"/{version}/{{api_key}}/custom-audience"
    if not name:
        return path
    # Text that cannot be an audience name can be an id by mistake.
    return f"{path}/{name if AUDIENCE_NAME.fullmatch(name) else '{name}'}"
