"""The content of the sandbox's page; it shows no whole keys, and ids only of the audience that is asked for."""

from __future__ import annotations

from dataclasses import asdict

from airflow_provider_batch.sandbox.calls import Call, CallLog, shortened
from airflow_provider_batch.sandbox.names import MEP_TYPES
from airflow_provider_batch.sandbox.state import State

# The API that an app's audience of each type belongs to; a project's audience belongs to all versions of 2.x.
_MEP = {audience_type: f"MEP {version}" for version, types in MEP_TYPES.items() for audience_type in types}


def page_content(state: State, log: CallLog) -> dict[str, object]:
    """Return the audiences of all apps and projects, how many profiles there are, and the last calls, newest first."""
    return {
        "audiences": [
            asdict(view)
            | {"number": number, "key": shortened(key), "api": _MEP[view.type] if key in state.apps else "CEP 2.x"}
            for key in (*state.apps, *state.projects)
            for number, view in state.listed(key)
        ],
        "profiles": [
            {"number": number, "key": shortened(key), "count": count}
            for number, (key, count) in enumerate(zip(state.projects, state.profile_counts(), strict=True))
        ],
        "calls": [
            _without_bodies(call) | {"number": number, "route": call.route.replace("{api_key}", call.app)}
            for number, call in reversed(log.numbered().items())
        ],
    }


def _without_bodies(call: Call) -> dict[str, object]:
    return {name: value for name, value in asdict(call).items() if name not in ("body", "beginning", "answer")}


def page_call(log: CallLog, number: int) -> dict[str, object]:
    """Return the beginnings of the request and of the response of the call with *number*, if it is still kept."""
    call = log.numbered().get(number)
    if call is None:
        return {"size": 0, "request": "", "answer": ""}
    request, answer = (part.decode("utf-8", "replace") for part in (call.beginning, call.answer))
    return {"size": call.size, "request": request, "answer": answer}


def page_members(state: State, number: int) -> dict[str, object]:
    """Return the newest members of the audience with *number*."""
    return {"members": [{"id": member, **asdict(each)} for member, each in state.newest(number).items()]}


def page_profiles(state: State, number: int) -> dict[str, object]:
    """Return the profiles that were written last, of the project with *number*."""
    newest = state.newest_profiles(number)
    return {"profiles": [{"id": custom_id, "attributes": each} for custom_id, each in newest.items()]}
