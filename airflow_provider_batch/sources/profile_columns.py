"""The columns that make profiles: the id, and every other one that is an attribute."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from airflow_provider_batch.exceptions import SourceError
from airflow_provider_batch.protocol.profiles.table import Table, check_one_id, chosen_keys, is_never_sent, keyed
from airflow_provider_batch.sources.columns import Columns, Selection, find_column, without


@dataclass(frozen=True, slots=True)
class ProfileSelection(Selection[int]):
    """The selected columns of one source of profiles; ``attributes`` are positions with names."""

    @property
    def only_id(self) -> bool:
        """Whether values are ids; they are profiles, even those without attributes."""
        return False

    def values(self, column: Callable[[int], list[object]]) -> list[object]:
        """Return the profiles of a block of rows, by columns."""
        columns = {name: without(column(position), self.nulls) for position, name in self.attributes}
        return Table(self.ids(column(self.id)), columns)  # type: ignore[return-value]  # it is read like a list


@dataclass(frozen=True, slots=True)
class ProfileColumns(Columns):
    """
    The names of the columns of profiles.

    :param id_column: the column with the id.
    :param attribute_columns: the columns with attributes, or a dict from columns to the keys of attributes; None for
        all but the id's, and the one that Batch's own sync reads.
    """

    id_column: str | int = "custom_id"

    @property
    def only_id(self) -> bool:
        """Whether the id is the only column to read."""
        return False

    @property
    def whole_rows(self) -> bool:
        """Whether the fields of an object are read whatever they are called."""
        return True

    def select(
        self, names: Sequence[str], source: str, *, nulls: Set[str] = frozenset(), remedy: str = ""
    ) -> ProfileSelection:
        """
        Find the columns among *names*; the parameters are those of :meth:`.Columns.select`.

        :raises SourceError: if a column is missing or ambiguous, or has a name that no attribute can have.
        """
        # First, as without a header the names are the cells of a row, which no message may quote.
        id_position = self.id_position(names, source, remedy)
        if (chosen := chosen_keys(self.attribute_columns)) is not None:
            named = tuple((find_column(column, names, source, remedy), column) for column in chosen)
            return ProfileSelection(id_position, attributes=named, nulls=nulls)
        others = [
            (position, name)
            for position, name in enumerate(names)
            if position != id_position and not is_never_sent(name)
        ]
        try:
            if len({name for _, name in others}) < len(others):
                raise ValueError("two columns have the same name. Give each a name of its own.")
            check_one_id(str(self.id_column), [name for _, name in others])
            keyed({name: [] for _, name in others}, None)
        except ValueError as error:
            raise SourceError(f"{source}: {error}") from None
        return ProfileSelection(id_position, attributes=tuple(others), nulls=nulls)
