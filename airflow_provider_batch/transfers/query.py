"""The rows of a query, which the transfers from a database push."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final

from airflow.providers.common.compat.sdk import BaseOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_batch.sources.sql import SqlSource

#: Placeholders of most drivers, and the doubled percent sign that they need beside them.
_PLACEHOLDER: Final = re.compile(r"%%|%(?:\(\w+\))?[sbt]")


class QueryRows(BaseOperator):
    """The part of an operator that runs a query over any connection of Airflow with a DB-API hook."""

    template_fields: Sequence[str] = ("sql", "conn_id", "parameters", "snapshot_schema")
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}

    sql: str
    conn_id: str
    parameters: Iterable[Any] | Mapping[str, Any] | None
    hook_params: Mapping[str, Any] | None
    snapshot_schema: str | None
    columns: Callable[[], Any]

    def __init__(self, **kwargs: Any) -> None:
        self.sql = kwargs.pop("sql")
        self.conn_id = kwargs.pop("conn_id")
        self.parameters = kwargs.pop("parameters")
        self.hook_params = kwargs.pop("hook_params")
        self.snapshot_schema = kwargs.pop("snapshot_schema")
        super().__init__(**kwargs)

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

        hook = database_hook(self.conn_id, self.hook_params)
        with closing(SqlSource(hook, self.sql, self.parameters, self.columns())) as source:
            yield source

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
