"""
A version of the API as a value: what is sent where, how it is spelled, and within which limits.

Encoding and decoding read a dialect; they never ask for a version number. Another version is another value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol import limits


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and a path; ``{api_key}`` is filled in by the credentials, ``{audience_name}`` by the encoder."""

    method: str
    path: str

    @property
    def names_audience(self) -> bool:
        """Whether the audience's name is part of the path; if not, it is a field of the body or of the query."""
        return "{audience_name}" in self.path


@dataclass(frozen=True, slots=True)
class MemberRules:
    """
    What one version takes of a member.

    :param kinds: the kinds of attributes: ``text``, ``number``, ``date``, ``url``, ``array``; none for no attributes.
    :param most_attributes: how many attributes one member may have.
    :param tags: whether a member may have tags.
    :param zone: how a date ends.
    """

    version: str
    max_id_length: int
    kinds: frozenset[str] = frozenset()
    most_attributes: int = limits.NO_LIMIT
    tags: bool = False
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    One version of the audience API.

    :param typed_writes: whether update and replace repeat the audience's type.
    :param description: the field that describes an audience.
    :param audiences: the field of a list that holds the audiences.
    :param cursor: whether a list goes on from a text that Batch gave, instead of from a number.
    """

    version: str
    create: Endpoint
    update: Endpoint
    replace: Endpoint
    view: Endpoint
    list: Endpoint
    delete: Endpoint
    audience_types: tuple[str, ...]
    members: MemberRules
    typed_writes: bool = False
    description: str = "description"
    audiences: str = "custom_audiences"
    cursor: bool = False
    max_ids_per_call: int = limits.MAX_IDS_PER_CALL


@dataclass(frozen=True, slots=True)
class Platform:
    """
    One of Batch's two platforms: who is asking, and which version knows which type of audience.

    :param identity: the headers that say who asks; ``{api_key}`` and ``{rest_api_key}`` are filled in by the
        credentials.
    :param login: what the connection's login is called there.
    """

    name: str
    identity: tuple[tuple[str, str], ...]
    login: str
    dialects: tuple[Dialect, ...]

    def dialect(self, audience_type: object) -> Dialect:
        """
        Return the version that knows *audience_type*.

        :raises InvalidArgumentError: if none does.
        """
        for dialect in self.dialects:
            if audience_type in dialect.audience_types:
                return dialect
        known = " or ".join(name for dialect in self.dialects for name in dialect.audience_types)
        versions = " and ".join(dialect.version for dialect in self.dialects)
        raise InvalidArgumentError(
            f"audience_type: {audience_type!r:.80} is unknown to API {versions} (platform {self.name}); use {known}"
        )


def _mep(version: str, audience_types: tuple[str, ...], members: MemberRules, *, typed_writes: bool) -> Dialect:
    audiences = f"/{version}/{{api_key}}/custom-audience"
    # The view page's route line shows the list's address; only its example has the name in it, which is what works
    # for the other verbs: https://doc.batch.com/api/custom-audience/1.0/get/
    audience = audiences + "/{audience_name}"
    return Dialect(
        version=version,
        create=Endpoint("POST", audience),
        update=Endpoint("PATCH", audience),
        # Of 1.0 no page is known that shows it; the view page speaks of it, and 1.1 has this one (inferred).
        replace=Endpoint("PUT", audience),
        view=Endpoint("GET", audience),
        list=Endpoint("GET", audiences),
        delete=Endpoint("DELETE", audience),
        audience_types=audience_types,
        members=members,
        typed_writes=typed_writes,
    )


#: https://doc.batch.com/developer/api/mep/custom-audience/1.0/update
MEP_1_0: Final = _mep(
    "1.0", ("custom_ids", "advertising_ids"), MemberRules("1.0", limits.MAX_ID_LENGTH), typed_writes=True
)

#: https://doc.batch.com/developer/api/mep/custom-audience/1.1/update; the limits of a call are inferred from 1.0.
MEP_1_1: Final = _mep(
    "1.1",
    ("install_ids",),
    MemberRules(
        "1.1",
        limits.NO_LIMIT,
        # Its examples show texts, numbers, dates without a zone, and addresses; an array is on no page.
        kinds=frozenset({"text", "number", "date", "url"}),
        tags=True,
    ),
    typed_writes=False,
)

MEP: Final = Platform("mep", (("X-Authorization", "{rest_api_key}"),), "Batch API key", (MEP_1_0, MEP_1_1))


def cep(version: str = limits.NEWEST_CEP_VERSION) -> Platform:
    """
    Return the Customer Engagement Platform in *version*.

    Routes and fields look the same in all versions that were seen, 2.1 to 2.11 (inferred). Types other than
    ``custom_ids`` are on the dashboard's page, but not on the API's: https://doc.batch.com/developer/api/cep/audiences/create
    """
    routes = f"/{version}/audiences"
    dialect = Dialect(
        version=version,
        create=Endpoint("POST", f"{routes}/create"),
        update=Endpoint("POST", f"{routes}/update"),
        replace=Endpoint("POST", f"{routes}/replace"),
        view=Endpoint("GET", f"{routes}/view"),
        list=Endpoint("GET", f"{routes}/list"),
        # It deletes the whole audience: https://doc.batch.com/developer/api/cep/audiences/remove
        delete=Endpoint("POST", f"{routes}/remove"),
        audience_types=("custom_ids",),
        members=MemberRules(
            version,
            limits.NO_LIMIT,
            kinds=frozenset({"text", "number", "date", "url", "array"}),
            most_attributes=limits.MAX_ATTRIBUTES,
            zone="Z",
        ),
        description="display_name",
        audiences="audiences",
        cursor=True,
    )
    identity = (("Authorization", "Bearer {rest_api_key}"), ("X-Batch-Project", "{api_key}"))
    return Platform("cep", identity, "project key", (dialect,))
