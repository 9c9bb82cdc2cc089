"""The content of the sandbox's page; it shows no whole keys, and ids only of the audience that is asked for."""

from __future__ import annotations

from dataclasses import asdict

from airflow_provider_batch.sandbox.calls import Call, CallLog, shortened
from airflow_provider_batch.sandbox.names import MEP_TYPES
from airflow_provider_batch.sandbox.state import State

SHOWN = 200  # members

# The version that an app's audience of each type belongs to; a project's audience belongs to all versions of 2.x.
_MEP_VERSIONS = {audience_type: version for version, types in MEP_TYPES.items() for audience_type in types}


def page_content(state: State, log: CallLog) -> dict[str, object]:
    """Return the apps and projects with their audiences, and the last calls, newest first."""
    return {
        "apps": [{"app": shortened(app), "audiences": _audiences(state, app, "MEP")} for app in state.apps],
        "projects": [
            {"project": shortened(project), "audiences": _audiences(state, project, "CEP")}
            for project in state.projects
        ],
        "calls": [_encoded(call) for call in reversed(log.snapshot())],
    }


def page_members(state: State, number: int) -> dict[str, object]:
    """Return the newest members of the audience with *number*."""
    return {"members": [{"id": member, **asdict(each)} for member, each in state.newest(number, SHOWN).items()]}


def _audiences(state: State, key: str, platform: str) -> list[dict[str, object]]:
    return [
        asdict(view)
        | {"number": number, "platform": platform, "version": "2.x" if platform == "CEP" else _MEP_VERSIONS[view.type]}
        for number, view in state.listed(key)
    ]


def _encoded(call: Call) -> dict[str, object]:
    return {
        "at": call.at,
        "method": call.method,
        "key": call.app,
        "route": call.route.replace("{api_key}", call.app),
        "status": call.status,
        "reason": call.reason,
        "fault": call.fault,
        "elements": call.elements,
        "milliseconds": round(call.seconds * 1000, 1),
    }
