"""
A version of the API as a value: its routes, field names and limits.

Encoding and decoding read a dialect and never compare version numbers, so that a new version is a new value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from airflow_provider_batch.exceptions import InvalidArgumentError
from airflow_provider_batch.protocol import limits
from airflow_provider_batch.protocol.limits import Quota


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
    What one version accepts for a member.

    :param kinds: the types of attributes: ``text``, ``number``, ``date``, ``url``, ``array``; empty for no attributes.
    :param most_attributes: the most attributes of one member.
    :param tags: whether a member may have tags.
    :param zone: the end of a date: ``Z``, or empty where dates have no time zone.
    :param trims: whether blanks around an id are removed, which the caller decides.
    """

    version: str
    max_id_length: int
    kinds: frozenset[str] = frozenset()
    most_attributes: int = limits.NO_LIMIT
    tags: bool = False
    zone: str = ""
    trims: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """
    One version of the audience API.

    :param typed_writes: whether update and replace repeat the audience's type.
    :param description: the name of the field that describes an audience.
    :param audiences: the name of the field that holds the audiences of a list.
    :param cursor: whether a list is paged by a cursor that Batch returns, instead of by an offset.
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
class ProfileRoute:
    """
    One of the two routes that write profiles.

    :param most: the most profiles in one call.
    :param quota: the most custom ids in a time, over all calls of a project.
    """

    name: str
    endpoint: Endpoint
    most: int
    quota: Quota


@dataclass(frozen=True, slots=True)
class Platform:
    """
    One of Batch's two platforms: its headers with keys, and its version for each type of audience.

    :param identity: the headers that identify the caller; the credentials fill in ``{api_key}`` and
        ``{rest_api_key}``.
    :param login: the platform's name for the connection's login.
    :param profile_routes: those that write profiles; none on a platform without profiles.
    """

    name: str
    identity: tuple[tuple[str, str], ...]
    login: str
    dialects: tuple[Dialect, ...]
    profile_routes: tuple[ProfileRoute, ...] = ()

    def dialect(self, audience_type: object) -> Dialect:
        """
        Return the version for audiences of *audience_type*.

        :raises InvalidArgumentError: if there is none.
        """
        for dialect in self.dialects:
            if audience_type in dialect.audience_types:
                return dialect
        known = " or ".join(name for dialect in self.dialects for name in dialect.audience_types)
        versions = " and ".join(dialect.version for dialect in self.dialects)
        raise InvalidArgumentError(
            f"audience_type: {audience_type!r:.80} is unknown to API {versions} (platform {self.name}). Use {known}."
        )


def _mep(version: str, audience_types: tuple[str, ...], members: MemberRules, *, typed_writes: bool) -> Dialect:
    audiences = f"/{version}/{{api_key}}/custom-audience"
    # The view page's route line shows the list's address. Its example has the name in it, as the other verbs have:
    # https://doc.batch.com/api/custom-audience/1.0/get/
    audience = audiences + "/{audience_name}"
    return Dialect(
        version=version,
        create=Endpoint("POST", audience),
        update=Endpoint("PATCH", audience),
        # No known page shows this route for 1.0. Its view page mentions a replace, and 1.1 has this route (inferred).
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
        # Its examples show text, numbers, dates without a time zone, and URLs. No page shows an array.
        kinds=frozenset({"text", "number", "date", "url"}),
        tags=True,
    ),
    typed_writes=False,
)

MEP: Final = Platform("mep", (("X-Authorization", "{rest_api_key}"),), "Batch API key", (MEP_1_0, MEP_1_1))


def cep(version: str = limits.NEWEST_CEP_VERSION) -> Platform:
    """
    Return the Customer Engagement Platform in *version*.

    Routes and fields look the same in all versions that were seen, 2.1 to 2.11 (inferred). The dashboard's page lists
    other types than ``custom_ids``; the API's does not: https://doc.batch.com/developer/api/cep/audiences/create
    """
    routes = f"/{version}/audiences"
    dialect = Dialect(
        version=version,
        create=Endpoint("POST", f"{routes}/create"),
        update=Endpoint("POST", f"{routes}/update"),
        replace=Endpoint("POST", f"{routes}/replace"),
        view=Endpoint("GET", f"{routes}/view"),
        list=Endpoint("GET", f"{routes}/list"),
        # Despite its name it deletes the audience: https://doc.batch.com/developer/api/cep/audiences/remove
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
    return Platform("cep", identity, "project key", (dialect,), _profile_routes(version))


def _profile_routes(version: str) -> tuple[ProfileRoute, ...]:
    """Return the routes of https://doc.batch.com/developer/api/cep/profiles, the one for few profiles first."""
    routes = f"/{version}/profiles"
    return (
        ProfileRoute(
            "update",
            Endpoint("POST", f"{routes}/update"),
            limits.MAX_PROFILES_PER_UPDATE,
            # As many as a burst has, in the time that they take without one: that keeps both of its limits.
            Quota(limits.PROFILES_IN_A_BURST, limits.PROFILES_IN_A_BURST / limits.PROFILES_PER_SECOND),
        ),
        ProfileRoute(
            "mass-update",
            Endpoint("POST", f"{routes}/mass-update"),
            limits.MAX_PROFILES_PER_MASS_UPDATE,
            Quota(limits.MASS_PROFILES_PER_SECOND),
        ),
    )
