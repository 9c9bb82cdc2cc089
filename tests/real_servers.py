"""Real servers on the loopback: PostgreSQL and S3."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_postgres import postgres_folder, running_postgres

from tests.conftest import FAST_FOLDER


def missing(what: str) -> None:
    """Skip what cannot be had here; where the tests are to prove something it has to be there."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The folder of the socket of a PostgreSQL of our own."""
    programs = postgres_folder()
    if programs is None:
        missing("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    assert programs
    with running_postgres(programs, parent=FAST_FOLDER) as folder:
        yield str(folder)


@pytest.fixture
def postgres(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An Airflow hook for it."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    connection = {"conn_type": "postgres", "host": postgres_server, "login": "airflow", "schema": "postgres"}
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", json.dumps(connection))
    return PostgresHook()


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An Airflow hook for a new SQLite database."""
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    connection = {"conn_type": "sqlite", "host": str(tmp_path / "sqlite.db")}
    monkeypatch.setenv("AIRFLOW_CONN_SQLITE_DEFAULT", json.dumps(connection))
    return SqliteHook()


#: The bytes of each object that an S3 of our own has sent.
_SENT: Counter[str] = Counter()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 of our own."""
    from moto.server import ThreadedMotoServer

    server: Any = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    application = server._server.app

    def counting(environ: Any, start_response: Any) -> Iterator[bytes]:
        for part in application(environ, start_response):
            if environ["REQUEST_METHOD"] == "GET":
                _SENT[environ["PATH_INFO"]] += len(part)
            yield part

    server._server.app = counting
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_sent(s3: Any) -> Counter[str]:
    """The bytes of each object, such as ``/bucket/key``, that S3 sends from now on."""
    _SENT.clear()
    return _SENT


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client for it with an empty bucket ``bucket``; Airflow's connection ``aws_default`` leads there as well."""
    import boto3  # type: ignore[import-untyped]

    keys = {"login": "testing", "password": "testing"}
    extra = {"endpoint_url": s3_server, "region_name": "us-east-1"}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", json.dumps({"conn_type": "aws", **keys, "extra": extra}))
    client = boto3.client(
        "s3",
        endpoint_url=s3_server,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    client.create_bucket(Bucket="bucket")
    yield client
    for found in client.list_objects_v2(Bucket="bucket").get("Contents", ()):
        client.delete_object(Bucket="bucket", Key=found["Key"])
