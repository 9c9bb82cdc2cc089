"""From a query to an audience."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, Unpack, cast

from airflow_provider_batch.operators.parameters import QueryParameters, RowsParameters
from airflow_provider_batch.transfers.rows import RowsToCustomAudienceOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_batch.sources.sql import SqlSource

#: Placeholders of most drivers, and the doubled percent sign that they need beside them.
_PLACEHOLDER: Final = re.compile(r"%%|%(?:\(\w+\))?[sbt]")


class SqlToCustomAudienceOperator(RowsToCustomAudienceOperator, takes=QueryParameters):
    """
    Push what a query returns to a custom audience of Batch, row by row and never held.

    The query runs over any connection of Airflow that has a DB-API hook (extra ``sql``), with a cursor on the server
    where the driver has one. A retry runs it again: on Airflow 3.3 and later only what is left is sent, if the rows
    come in the same order (``ORDER BY``); a replace starts again. Returns tokens and summary as
    :class:`~airflow_provider_batch.operators.custom_audience.CustomAudienceUpdateOperator`.

    :param sql: one query, or the path of a ``.sql`` file. (templated)
    :param conn_id: the connection to the database. (templated)
    :param parameters: values for the query's placeholders, which have the driver's own style. (templated)
    :param hook_params: passed on to the database's hook.
    """

    template_fields: Sequence[str] = (
        *("sql", "conn_id", "parameters", "snapshot_schema"),
        *RowsToCustomAudienceOperator.template_fields,
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}

    def __init__(
        self,
        *,
        sql: str,
        conn_id: str,
        parameters: Iterable[Any] | Mapping[str, Any] | None = None,
        hook_params: Mapping[str, Any] | None = None,
        **kwargs: Unpack[QueryParameters],
    ) -> None:
        self.sql = sql
        self.conn_id = conn_id
        self.parameters = parameters
        self.hook_params = hook_params
        self.snapshot_schema = kwargs.pop("snapshot_schema")
        self.keep_changes = kwargs.pop("keep_changes")
        super().__init__(**cast(RowsParameters, kwargs))

    # Airflow reads every templated text that ends in .sql as a file. Here only the query can be one.

    def resolve_template_files(self) -> None:
        """Read the file of the query when the DAG file is parsed."""
        parameters, self.parameters = self.parameters, None
        super().resolve_template_files()
        self.parameters = parameters

    def _do_render_template_fields(
        self, parent: Any, template_fields: Iterable[str], *args: Any, **kwargs: Any
    ) -> None:
        fields = list(template_fields)
        super()._do_render_template_fields(parent, [field for field in fields if field == "sql"], *args, **kwargs)
        self.template_ext = ()
        super()._do_render_template_fields(parent, [field for field in fields if field != "sql"], *args, **kwargs)
        self.template_ext = type(self).template_ext

    @contextmanager
    def source(self, context: Context) -> Iterator[SqlSource]:
        """Open the rows of the query."""
        from airflow_provider_batch.sources.sql import SqlSource
        from airflow_provider_batch.transfers.databases import database_hook

        yield SqlSource(
            database_hook(self.conn_id, self.hook_params),
            self.sql,
            self.parameters,
            self.columns(),
        )

    def snapshot_arguments(self) -> dict[str, Any]:
        """Return the hook's arguments that choose where a mirror keeps its snapshot."""
        if not self.snapshot_schema:
            return super().snapshot_arguments()
        return {"snapshot_schema": self.snapshot_schema, "keep_changes": self.keep_changes}

    def confirmation_arguments(self) -> dict[str, Any]:
        """Return those that find it again."""
        from airflow_provider_batch.transfers.databases import database_hook

        if not self.snapshot_schema:
            return super().confirmation_arguments()
        return {"snapshot_schema": self.snapshot_schema, "database": database_hook(self.conn_id, self.hook_params)}

    def openlineage_inputs(self) -> list[Any]:
        """Return the tables that the query reads, as far as its database's hook and OpenLineage's parser find them."""
        from airflow.providers.openlineage.sqlparser import SQLParser

        from airflow_provider_batch.transfers.databases import database_hook

        hook = database_hook(self.conn_id, self.hook_params)
        connection = hook.get_connection(self.conn_id)
        database = hook.get_openlineage_database_info(connection)
        if database is None:
            return []
        parser = SQLParser(
            dialect=hook.get_openlineage_database_dialect(connection),
            default_schema=hook.get_openlineage_default_schema(),
        )
        read = parser.generate_openlineage_metadata_from_sql(
            sql=self._sql_without_placeholders(hook),
            hook=hook,
            database_info=database,
            database=connection.schema,
            use_connection=False,
        )
        return list(read.inputs)

    def _sql_without_placeholders(self, hook: Any) -> str:
        """Return the query with NULL in place of each placeholder: OpenLineage's parser cannot read those."""
        if not self.parameters:
            return self.sql
        sql = _PLACEHOLDER.sub(lambda found: "%" if found[0] == "%%" else "NULL", self.sql)
        return sql.replace("?", "NULL") if hook.placeholder == "?" else sql
