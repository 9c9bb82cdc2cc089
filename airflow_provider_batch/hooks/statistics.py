"""Statistics of orchestrations, campaigns and transactional messages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_batch.exceptions import counted
from airflow_provider_batch.hooks.base import BatchBaseHook

if TYPE_CHECKING:
    from airflow_provider_batch.protocol.arguments import OnMissing
    from airflow_provider_batch.protocol.statistics.subjects import Subject
    from airflow_provider_batch.results.statistics import Figures, Reading

#: A filter: one value, or several.
Filter = str | Sequence[str] | None


class StatisticsHook(BatchBaseHook):
    """The part of the hook that reads statistics."""

    def orchestrations(
        self, *, status: Filter = None, type: Filter = None, channels: Filter = None
    ) -> Iterator[dict[str, Any]]:
        """
        Yield all orchestrations as Batch lists them; each page is requested when it is needed.

        See https://doc.batch.com/developer/api/cep/orchestrations/list.

        :param status: only those with this status, or one of several, such as ``running`` or ``completed``.
        :param type: the same for the type, such as ``campaign``, ``recurring`` or ``trigger``.
        :param channels: the same for the channel, such as ``push`` or ``email``.
        """
        yield from self._listed(self.orchestrations_reading(status=status, type=type, channels=channels))

    def orchestration_stats(
        self,
        *,
        since: date | str | None = None,
        until: date | str | None = None,
        status: Filter = None,
        type: Filter = None,
        channels: Filter = None,
        on_missing: OnMissing = "fail",
    ) -> Iterator[dict[str, Any]]:
        """
        Yield the statistics of all orchestrations: one dict for each day, and for each version of it.

        Every key is as Batch sends it, with those of the list beside those of the day, and ``read_at``. See
        https://doc.batch.com/developer/api/cep/orchestrations/stats. For the filters see :meth:`orchestrations`.

        :param since: the first day; at most six months ago; by default 180 days ago.
        :param until: the last day; by default today.
        :param on_missing: ``fail`` after all others were read, or ``skip`` one that cannot be read, with a warning.
        :raises StatisticsMissingError: if some cannot be read, and ``on_missing`` is ``fail``.
        """
        reading = self.orchestrations_reading(since, until, status=status, type=type, channels=channels)
        yield from self._lines(reading, on_missing)

    def campaigns(self, *, live: bool | None = None, from_api: bool | None = None) -> Iterator[dict[str, Any]]:
        """
        Yield all campaigns of the app as Batch lists them, the newest first.

        See https://doc.batch.com/developer/api/mep/campaigns/list.

        :param live: only those that are live, or only the others.
        :param from_api: only those created by the API, or only the others.
        """
        yield from self._listed(self.campaigns_reading(live=live, from_api=from_api))

    def campaign_stats(
        self,
        *,
        since: date | str | None = None,
        until: date | str | None = None,
        live: bool | None = None,
        from_api: bool | None = None,
        on_missing: OnMissing = "fail",
    ) -> Iterator[dict[str, Any]]:
        """
        Yield the statistics of all campaigns of the app, as :meth:`orchestration_stats` does; it takes a Live key.

        Batch answers with all days of a campaign: the others are left out here. See
        https://doc.batch.com/developer/api/mep/campaigns/get. For the filters see :meth:`campaigns`.

        :param since: the first day; by default, of all.
        :param until: the last day.
        :param on_missing: as for :meth:`orchestration_stats`.
        """
        yield from self._lines(self.campaigns_reading(since, until, live=live, from_api=from_api), on_missing)

    def transactional_stats(
        self,
        group_ids: Sequence[str],
        *,
        since: date | str | None = None,
        until: date | str | None = None,
        on_missing: OnMissing = "fail",
    ) -> Iterator[dict[str, Any]]:
        """
        Yield the statistics of groups of transactional messages, as :meth:`orchestration_stats` does; a Live key only.

        See https://doc.batch.com/developer/api/mep/transactional/stats.

        :param group_ids: the groups; Batch has no list of them.
        :param since: the first day; at most six months ago; by default 180 days ago.
        :param until: the last day; by default today.
        :param on_missing: as for :meth:`orchestration_stats`.
        """
        yield from self._lines(self.transactional_reading(group_ids, since, until), on_missing)

    def read_statistics(self, reading: Reading, known: Collection[str] = ()) -> Iterator[Figures]:
        """
        Yield what was read about one after the other, as the generators of this hook do without its key.

        :param reading: what to read, such as :meth:`orchestrations_reading` returns.
        :param known: the keys of those to leave out.
        """
        from airflow_provider_batch.protocol.limits import STATISTICS_CALLS_PER_MINUTE

        if reading.subject.platform == "mep" and self._settings.requests_per_second is None:
            self._pace.limit(STATISTICS_CALLS_PER_MINUTE / 60)
        with self._line(resource="statistics") as line:
            yield from reading.run(line, known)

    def orchestrations_reading(
        self,
        since: date | str | None = None,
        until: date | str | None = None,
        *,
        status: Filter = None,
        type: Filter = None,
        channels: Filter = None,
    ) -> Reading:
        """Return what :meth:`orchestration_stats` reads."""
        from airflow_provider_batch.protocol.statistics.period import Period
        from airflow_provider_batch.protocol.statistics.subjects import ORCHESTRATIONS

        filters = {"status": _values("status", status), "type": _values("type", type)}
        filters["channels"] = _values("channels", channels)
        return self._reading(
            ORCHESTRATIONS,
            filters=tuple((name, value) for name, values in filters.items() for value in values),
            period=Period.of(since, until, _today()),
        )

    def campaigns_reading(
        self,
        since: date | str | None = None,
        until: date | str | None = None,
        *,
        live: bool | None = None,
        from_api: bool | None = None,
    ) -> Reading:
        """Return what :meth:`campaign_stats` reads."""
        from airflow_provider_batch.protocol.statistics.period import Period
        from airflow_provider_batch.protocol.statistics.subjects import CAMPAIGNS

        switches = {"live": live, "from_api": from_api}
        return self._reading(
            CAMPAIGNS,
            filters=tuple((name, str(value).lower()) for name, value in switches.items() if value is not None),
            period=Period.of(since, until, _today(), months=None) if since or until else None,
        )

    def transactional_reading(
        self, group_ids: Sequence[str], since: date | str | None = None, until: date | str | None = None
    ) -> Reading:
        """Return what :meth:`transactional_stats` reads."""
        from airflow_provider_batch.protocol.statistics.period import Period
        from airflow_provider_batch.protocol.statistics.subjects import TRANSACTIONAL
        from airflow_provider_batch.results.statistics import check_keys

        keys = check_keys("group_ids", group_ids)
        return self._reading(TRANSACTIONAL, keys=keys, period=Period.of(since, until, _today()))

    def _reading(self, subject: Subject, **arguments: Any) -> Reading:
        from airflow_provider_batch.results.statistics import Reading

        version = self._version_of(subject.platform, f"statistics of {subject.name}")
        return Reading(subject, version, **arguments)

    def _listed(self, reading: Reading) -> Iterator[dict[str, Any]]:
        yield from map(dict, reading.entries(partial(self._ask, resource="statistics"), self._settings.backoff))

    def _lines(self, reading: Reading, on_missing: OnMissing) -> Iterator[dict[str, Any]]:
        from airflow_provider_batch.protocol.arguments import check_choice
        from airflow_provider_batch.results.statistics import check_missing

        check_choice("on_missing", on_missing)
        missing: list[Figures] = []
        for figures in self.read_statistics(reading):
            if figures.failure is None:
                yield from figures.lines
            else:
                missing.append(figures)
                self.log.warning("%s cannot be read: %s", figures.key, figures.failure)
        if on_missing == "fail":
            check_missing(reading.subject, missing)
        elif missing:
            self.log.warning("%s left out", counted(len(missing), reading.subject.noun))


def _values(name: str, given: Filter) -> Sequence[str]:
    from airflow_provider_batch.protocol.arguments import check_names

    values = [given] if isinstance(given, str) else given
    check_names(name, values)
    return values or ()


def _today() -> date:
    return datetime.now(UTC).date()
