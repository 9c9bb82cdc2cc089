from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_provider_batch.sandbox import Sandbox

COMMAND = [sys.executable, "-m", "airflow_provider_batch.sandbox"]


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run the command; yield it with its first lines, of which all but two are exports."""
    command = subprocess.Popen(
        [*COMMAND, "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert command.stdout
        lines = [
            command.stdout.readline().rstrip("\n")
            for _ in range(2 + sum(max(options.count(name), 1) for name in ("--app", "--project")))
        ]
        yield command, lines
    finally:
        command.kill()
        command.communicate()


def exported(line: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the value that a shell reads from an export line."""
    export, assignment = shlex.split(line)
    assert export == "export"
    name, _, value = assignment.partition("=")
    return name, json.loads(value)


def list_of(connection: dict[str, str], version: str) -> object:
    headers = {"Authorization": f"Bearer {connection['password']}", "X-Batch-Project": connection["login"]}
    request = urllib.request.Request(f"{connection['host']}/{version}/audiences/list", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def get(connection: dict[str, str], path: str) -> object:
    address = f"{connection['host']}/1.0/{connection['login']}/custom-audience{path}"
    request = urllib.request.Request(address, headers={"X-Authorization": connection["password"]})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_port_and_exits_cleanly(number: signal.Signals) -> None:
    with running() as (command, lines):
        page = re.fullmatch(r"Batch sandbox: (http://127\.0\.0\.1:[1-9]\d*)/", lines[0])
        assert page
        assert lines[1] == "Audiences: vip"
        name, connection = exported(lines[2])
        assert (name, connection["conn_type"], connection["host"]) == ("AIRFLOW_CONN_BATCH_DEFAULT", "batch", page[1])
        assert get(connection, "/vip")
        command.send_signal(number)
        stdout, stderr = command.communicate(timeout=10)
        assert (command.returncode, stdout, stderr) == (0, "", "")


def test_every_option_reaches_the_sandbox() -> None:
    listed = ["--audience", "one", "--audience", "two:custom_ids", "--audience", "phones:install_ids", "--app", "ios"]
    listed += ["--app", "android", "--project", "project_a", "--project", "project_b", "--api-version", "2.4"]
    numbers = ["--seed", "1", "--fault-rate", "0", "--latency", "0.01", "--indexing-delay", "1"]
    with running(*listed, *numbers, "--requests-per-second", "0.5", "--rate-limit-wait", "3600") as (_, lines):
        assert lines[1] == "Audiences: one, two:custom_ids, phones:install_ids"
        first, second = exported(lines[2]), exported(lines[3])
        assert (first[0], first[1]["login"]) == ("AIRFLOW_CONN_BATCH_DEFAULT", "ios")
        assert (second[0], second[1]["login"]) == ("AIRFLOW_CONN_BATCH_2", "android")
        assert get(second[1], "/two")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(first[1], "/vip")
        third, fourth = exported(lines[4]), exported(lines[5])
        assert (third[0], third[1]["login"]) == ("AIRFLOW_CONN_BATCH_CEP", "project_a")
        assert (fourth[0], fourth[1]["login"]) == ("AIRFLOW_CONN_BATCH_CEP_2", "project_b")
        assert fourth[1]["extra"] == {"platform": "cep", "api_version": "2.4"}
        assert list_of(fourth[1], "2.4")
        for _ in range(2):
            with pytest.raises(urllib.error.HTTPError, match="429") as rejected:
                list_of(fourth[1], "2.4")
            assert rejected.value.headers["Retry-After"] is None


def test_every_2_x_version_can_exist() -> None:
    with running("--api-version", "any") as (_, lines):
        connection = exported(lines[3])[1]
        assert connection["extra"] == {"platform": "cep"}
        assert list_of(connection, "2.1") == list_of(connection, "2.13")


def test_an_audience_given_twice_is_one_line_of_error() -> None:
    command = [*COMMAND, "--port", "0", "--audience", "vip", "--audience", "vip:install_ids"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stderr.splitlines()[-1].partition("error: ")[2]) == (
        2,
        "an audience is given twice; give each name once, with one type",
    )


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--latency", "-1"),
        ("--latency", "nan"),
        ("--indexing-delay", "inf"),
        ("--indexing-delay", "soon"),
        ("--fault-rate", "1.5"),
        ("--audience", "not a name"),
        ("--audience", "vip:emails"),
        ("--project", "a b"),
        ("--api-version", "1.0"),
        ("--requests-per-second", "0"),
        ("--rate-limit-wait", "-1"),
        ("--app", "a/b"),
        ("--port", "65536"),
        ("--seed", "x"),
    ],
)
def test_a_wrong_option_is_named(option: str, value: str) -> None:
    ended = subprocess.run([*COMMAND, f"{option}={value}"], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert f"argument {option}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_one_line_of_error(sandbox: Sandbox) -> None:
    ended = subprocess.run([*COMMAND, "--port", str(sandbox.port)], capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"cannot listen on 127.0.0.1:{sandbox.port}: Address already in use. Choose another with --port.\n"
    )


def test_a_missing_extra_is_one_line_of_error() -> None:
    code = (
        "import runpy, sys; sys.modules['uvicorn'] = sys.modules['starlette'] = None; "
        "sys.argv[1:] = ['--port', '0']; runpy.run_module('airflow_provider_batch.sandbox', run_name='__main__')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert ended.stderr == "the sandbox needs Starlette and uvicorn: pip install 'airflow-provider-batch[sandbox]'\n"
