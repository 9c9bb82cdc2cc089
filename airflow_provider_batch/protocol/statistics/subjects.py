"""
What has statistics: orchestrations, campaigns, and groups of transactional messages.

A subject is a value, as a dialect is: where its list and its figures are, and what their fields are called. Nothing
else knows the difference between the three.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from airflow_provider_batch.protocol.dialect import MEP_1_1

_LIVE_KEYS: Final = (
    "Batch has statistics for Live API keys only: check that the connection's login is the app's Live key, not its Dev "
    "or SDK key, and its password the REST API key of the same company."
)


@dataclass(frozen=True, slots=True)
class Subject:
    """
    One kind of what has statistics.

    :param name: in the plural, for messages and names of files.
    :param noun: in the singular.
    :param platform: the only one that has it.
    :param list_path: the route of its list; empty if Batch has none.
    :param listed: the field with the list's entries; empty if the list itself is the answer.
    :param key: the field of an entry that identifies it.
    :param stats_path: the route of the figures, with ``{version}`` and, if the path names the one, ``{key}``.
    :param stats_key: the parameter that names the one, if the path does not.
    :param period: the parameters with the first and the last day; empty if all days are in the answer.
    :param is_open: whether the first day must be before the last one, so that one day is asked for as two.
    :param days: the field of the answer with the days.
    :param remedies: what to do about a status.
    """

    name: str
    noun: str
    platform: str
    key: str
    stats_path: str
    days: str
    list_path: str = ""
    listed: str = ""
    stats_key: str = ""
    period: tuple[str, ...] = ()
    is_open: bool = False
    remedies: Mapping[int, str] = field(default_factory=dict, repr=False)


#: https://doc.batch.com/developer/api/cep/orchestrations/list and
#: https://doc.batch.com/developer/api/cep/orchestrations/stats
ORCHESTRATIONS: Final = Subject(
    name="orchestrations",
    noun="orchestration",
    platform="cep",
    list_path="/{version}/orchestrations/list",
    listed="orchestrations",
    key="id",
    stats_path="/{version}/orchestrations/stats",
    stats_key="orchestration_id",
    period=("from", "to"),
    days="details",
    remedies={404: "Check that it still exists, and the connection's api_version."},
)

_MEP_REMEDIES: Final = {
    401: _LIVE_KEYS,
    403: _LIVE_KEYS,
    404: "Check that it exists in the app of the connection's login, and was sent with its Live key.",
}

#: https://doc.batch.com/developer/api/mep/campaigns/list and https://doc.batch.com/developer/api/mep/campaigns/get
CAMPAIGNS: Final = Subject(
    name="campaigns",
    noun="campaign",
    platform="mep",
    list_path=f"/{MEP_1_1.version}/{{api_key}}/campaigns/list",
    key="campaign_token",
    stats_path=f"/{MEP_1_1.version}/{{api_key}}/campaigns/stats/{{key}}",
    days="detail",
    remedies=_MEP_REMEDIES,
)

#: https://doc.batch.com/developer/api/mep/transactional/stats; Batch has no list of the groups.
TRANSACTIONAL: Final = Subject(
    name="transactional",
    noun="group",
    platform="mep",
    key="group_id",
    stats_path=f"/{MEP_1_1.version}/{{api_key}}/transactional/stats/{{key}}",
    period=("since", "until"),
    is_open=True,
    days="detail",
    remedies=_MEP_REMEDIES,
)
