"""The routes of the API: method and path select the verb."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from airflow_provider_batch.sandbox.names import AUDIENCE_NAME
from airflow_provider_batch.sandbox.request import ApiRequest

Platform = Literal["mep", "cep"]
Verb = Literal["create", "update", "replace", "view", "list", "delete", "profile update", "profile mass update"]

CEP_VERSION = re.compile(r"2\.[0-9]{1,3}")
UNKNOWN_ROUTE = "unknown route"

# By method and by how many names follow the path /{version}/{api_key}/custom-audience.
_MEP_VERBS: dict[tuple[str, int], Verb] = {
    ("POST", 1): "create",
    ("PATCH", 1): "update",
    ("PUT", 1): "replace",
    ("GET", 1): "view",
    ("DELETE", 1): "delete",
    ("GET", 0): "list",
}
_CEP_VERBS: dict[tuple[str, str], Verb] = {
    ("POST", "create"): "create",
    ("POST", "update"): "update",
    ("POST", "replace"): "replace",
    ("GET", "view"): "view",
    ("GET", "list"): "list",
    ("POST", "remove"): "delete",
}
_PROFILE_VERBS: dict[tuple[str, str], Verb] = {
    ("POST", "update"): "profile update",
    ("POST", "mass-update"): "profile mass update",
}


@dataclass(frozen=True, slots=True)
class Route:
    """
    The route of one request.

    :param verb: None if the route does not exist.
    :param key: the key of the app, from the path, or of the project, from the header.
    :param name: the name of the audience, from the path; empty if the path has none.
    :param label: the path for the record of calls, without keys and ids.
    """

    platform: Platform
    version: str
    verb: Verb | None
    key: str
    name: str
    label: str

    @property
    def is_of_profiles(self) -> bool:
        """Whether it writes profiles."""
        return self.verb in _PROFILE_VERBS.values()

    @property
    def token_status(self) -> int | None:
        """The HTTP status of an accepted write that returns an indexing token; None for other routes."""
        if self.platform == "mep":
            return 201 if self.verb in {"update", "replace"} else None
        return None if self.verb in {None, "view", "list"} or self.is_of_profiles else 202


def route_of(request: ApiRequest) -> Route:
    """Return the route of *request*."""
    match request.path.split("/"):
        case ["", ("1.0" | "1.1") as version, key, "custom-audience", *names] if key and len(names) < 2 and all(names):
            name = unquote(names[0]) if names else ""
            verb = _MEP_VERBS.get((request.method, len(names)))
            return Route("mep", version, verb, unquote(key), name, _mep_label(version, name))
        case ["", version, ("audiences" | "profiles") as room, word] if CEP_VERSION.fullmatch(version):
            verb = (_CEP_VERBS if room == "audiences" else _PROFILE_VERBS).get((request.method, word))
            label = f"/{version}/{room}/{word}" if verb else UNKNOWN_ROUTE
            return Route("cep", version, verb, request.headers.get("x-batch-project", ""), "", label)
        case ["", version, *_] if CEP_VERSION.fullmatch(version):
            return Route("cep", version, None, "", "", UNKNOWN_ROUTE)
    return Route("mep", "", None, "", "", UNKNOWN_ROUTE)


def _mep_label(version: str, name: str) -> str:
    path = f"/{version}/{{api_key}}/custom-audience"
    if not name:
        return path
    # Text that cannot be an audience name can be an id by mistake.
    return f"{path}/{name if AUDIENCE_NAME.fullmatch(name) else '{name}'}"
