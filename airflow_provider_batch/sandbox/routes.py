"""Which part of the API a request is for, by method, path and the project's header."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from .names import AUDIENCE_NAME
from .request import Question

Platform = Literal["mep", "cep"]
Verb = Literal["create", "update", "replace", "view", "list", "delete"]

CEP_VERSION = re.compile(r"2\.[0-9]{1,3}")
UNKNOWN_ROUTE = "unknown route"

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


@dataclass(frozen=True, slots=True)
class Route:
    """*key* is the app's or the project's; *name* is the audience's where the path holds it; no *verb*, no route."""

    platform: Platform
    version: str
    verb: Verb | None
    key: str
    name: str | None
    label: str

    @property
    def token_status(self) -> int | None:
        """The status of an accepted write that is answered with an indexing token; None for everything else."""
        if self.platform == "mep":
            return 201 if self.verb in {"update", "replace"} else None
        return None if self.verb in {None, "view", "list"} else 202


def route_of(question: Question) -> Route:
    match question.path.split("/"):
        case ["", ("1.0" | "1.1") as version, key, "custom-audience", *names] if key and len(names) < 2 and all(names):
            verb = _MEP_VERBS.get((question.method, len(names)))
            name = unquote(names[0]) if names else None
            return Route("mep", version, verb, unquote(key), name, _mep_label(version, name))
        case ["", version, "audiences", word] if CEP_VERSION.fullmatch(version):
            project, found = question.headers.get("x-batch-project", ""), _CEP_VERBS.get((question.method, word))
            return Route(
                "cep", version, found, project, None, f"/{version}/audiences/{word}" if found else UNKNOWN_ROUTE
            )
        case ["", version, *_] if CEP_VERSION.fullmatch(version):
            return Route("cep", version, None, "", None, UNKNOWN_ROUTE)
    return Route("mep", "", None, "", None, UNKNOWN_ROUTE)


def _mep_label(version: str, name: str | None) -> str:
    """The path without its key; a name is kept only if it can be one, as anything else may be an id by mistake."""
    path = f"/{version}/{{api_key}}/custom-audience"
    if name is None:
        return path
    return f"{path}/{name if AUDIENCE_NAME.fullmatch(name) else '{name}'}"
