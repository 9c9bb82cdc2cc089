"""What the page shows: no id, no whole key."""

from __future__ import annotations

from dataclasses import asdict

from .audience import AudienceFacts
from .calls import Call, CallLog, shortened
from .names import MEP_TYPES
from .state import State

# An audience of an app is reached by the version that knows its type, one of a project by all of 2.x.
_VERSIONS = {audience_type: version for version, types in MEP_TYPES.items() for audience_type in types}


def page_facts(state: State, log: CallLog) -> dict[str, object]:
    return {
        "apps": [{"app": shortened(app), "audiences": _audiences(state, app, "MEP")} for app in state.apps],
        "projects": [
            {"project": shortened(project), "audiences": _audiences(state, project, "CEP")}
            for project in state.projects
        ],
        "calls": [_call_facts(call) for call in reversed(log.snapshot())],
    }


def _audiences(state: State, key: str, platform: str) -> list[dict[str, object]]:
    return [_audience_facts(facts, platform) for _, facts in state.listed(key)]


def _audience_facts(facts: AudienceFacts, platform: str) -> dict[str, object]:
    version = _VERSIONS[facts.type] if platform == "MEP" else "2.x"
    return {**asdict(facts), "platform": platform, "version": version}


def _call_facts(call: Call) -> dict[str, object]:
    return {
        "at": call.at,
        "method": call.method,
        "key": call.app,
        "route": call.route.replace("{api_key}", call.app),
        "status": call.status,
        "fault": call.fault,
        "elements": call.elements,
        "milliseconds": round(call.seconds * 1000, 1),
    }
