"""The command ``python -m airflow_provider_batch.mirror.tables``: try a database; show, or drop, mirrors in tables."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, TextIO

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.mirror.answer import lines_of, open_answer
from airflow_provider_batch.mirror.tables.check import Check, drop_tables
from airflow_provider_batch.mirror.tables.database import Database
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.mirror.tables.mirror import audience_part
from airflow_provider_batch.mirror.tables.status import mirrors_in, read_status, tables_in
from airflow_provider_batch.transfers.databases import database_hook


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; the exit code is 1 if a trap does not hold, or the database or a mirror cannot be used."""
    given = _parser().parse_args(arguments)
    with open_answer() as answer:
        try:
            succeeded = given.run(given, database_hook(given.conn_id), answer)
        except (BatchError, AirflowNotFoundException) as error:
            sys.exit(str(error))
    sys.exit(0 if succeeded else 1)


def _check(given: Any, hook: Any, answer: TextIO) -> bool:
    check = Check(hook, given.schema)
    print(f"{given.conn_id}, schema {given.schema}: {check.dialect()}", file=answer)
    faults = 0
    for trap, fault in check.run():
        faults += bool(fault)
        print(f"{'FAILS' if fault else 'holds':6}{trap}" + (f": {fault}" if fault else ""), file=answer, flush=True)
    return not faults


def _drop(given: Any, hook: Any, answer: TextIO) -> bool:
    database, keeper = Database(hook.get_conn), Keeper(given.schema, given.name.removesuffix("_head"))
    # Not only what the head names: it may be lost, or its state unreadable.
    tables = tables_in(database, keeper) if given.name.startswith("batch_") else []
    if not tables:
        sys.exit(
            f"{given.conn_id}, schema {given.schema}: no mirror {given.name} is there. The command inspect prints the "
            "names, such as batch_<audience>_<digest>."
        )
    drop_tables(database, keeper, tables)
    print(f"dropped all tables of {keeper}", file=answer)
    return True


def _inspect(given: Any, hook: Any, answer: TextIO) -> bool:
    database, shown, succeeded = Database(hook.get_conn), 0, True
    for name in mirrors_in(database, given.schema):
        if given.audience and not name.startswith(f"batch_{audience_part(given.audience)}_"):
            continue
        title = f"{given.schema}.{name}"
        try:
            status = read_status(database, Keeper(given.schema, name), given.ids, now=time.time())
        except BatchError as error:
            lines, succeeded = [f"  cannot be read: {error}"], False
        else:
            if status.audience_name:
                if given.audience not in (None, status.audience_name):
                    continue
                title += f", {status.audience_name}"
            lines = [*lines_of(status)]
        shown += 1
        print(title, *lines, sep="\n", file=answer)
    if not shown:
        what = f"no mirror of {given.audience}" if given.audience else "no mirror"
        sys.exit(f"{given.conn_id}, schema {given.schema}: {what} is there. Pass the snapshot_schema of the task.")
    return succeeded


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_batch.mirror.tables",
        description="Mirrors whose snapshot is in tables of a database (snapshot_schema).",
    )
    commands = parser.add_subparsers(required=True)
    check = commands.add_parser("check", help="try in tables of its own, which it drops, whether a database is suited")
    inspect = commands.add_parser(
        "inspect",
        help="show what mirrors have sent to Batch: when, how many ids, and whether certain ids are among them",
        epilog="It prints no id that is not passed, sends nothing, and changes nothing.",
    )
    drop = commands.add_parser("drop", help="drop all tables of one mirror: the next run is a first run")
    for command, run in ((check, _check), (inspect, _inspect), (drop, _drop)):
        command.set_defaults(run=run)
        command.add_argument("conn_id", metavar="CONN_ID", help="the Airflow connection to the database")
        command.add_argument("schema", metavar="SCHEMA", help="the snapshot_schema of the tasks")
    inspect.add_argument("--audience", metavar="NAME", help="only this audience (default: all)")
    inspect.add_argument("--id", dest="ids", action="append", default=[], metavar="ID", help="repeatable; show this id")
    drop.add_argument("name", metavar="NAME", help="what the tables' names begin with: batch_<audience>_<digest>")
    return parser


if __name__ == "__main__":
    # As in Airflow's own commands: without it, Airflow 3 looks for no connection in its database.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    main()
