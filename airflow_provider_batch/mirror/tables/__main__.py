"""The command ``python -m airflow_provider_batch.mirror.tables``: try a database, or drop the tables of one mirror."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from airflow_provider_batch.exceptions import BatchError
from airflow_provider_batch.mirror.tables.check import Check, drop_tables
from airflow_provider_batch.mirror.tables.database import Database
from airflow_provider_batch.mirror.tables.keeper import Keeper
from airflow_provider_batch.transfers.databases import database_hook


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; the exit code is 1 if a trap does not hold, or the database cannot be used."""
    given = _parser().parse_args(arguments)
    try:
        hook = database_hook(given.conn_id)
        if given.command == "drop":
            if not given.name.startswith("batch_"):
                sys.exit(f"{given.name}: the names of a mirror's tables begin with batch_<audience>_<digest>.")
            drop_tables(Database(hook.get_conn), Keeper(given.schema, given.name.removesuffix("_head")))
            print(f"dropped all tables of {given.schema}.{given.name}")
            return
        check = Check(hook, given.schema)
        print(f"{given.conn_id}, schema {given.schema}: {check.dialect()}")
        faults = 0
        for trap, fault in check.run():
            faults += bool(fault)
            print(f"{'FAILS' if fault else 'holds':6}{trap}" + (f": {fault}" if fault else ""))
        sys.exit(1 if faults else 0)
    except BatchError as error:
        sys.exit(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_batch.mirror.tables",
        description="Mirrors whose snapshot is in tables of a database (snapshot_schema).",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="try in tables of its own, which it drops, whether a database is suited")
    drop = commands.add_parser("drop", help="drop all tables of one mirror: the next run is a first run")
    for command in (check, drop):
        command.add_argument("conn_id", metavar="CONN_ID", help="the Airflow connection to the database")
        command.add_argument("schema", metavar="SCHEMA", help="the snapshot_schema of the tasks")
    drop.add_argument("name", metavar="NAME", help="what the tables' names begin with: batch_<audience>_<digest>")
    return parser


if __name__ == "__main__":
    # As in Airflow's own commands: without it, Airflow 3 looks for no connection in its database.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    main()
