from __future__ import annotations

import pytest

from airflow_provider_batch.sandbox import Sandbox
from tests.clock import Clock
from tests.sandbox.client import APP, AUDIENCES, CEP, CEP_HEADERS, HEADERS, PROJECT, REST, VIP, changes, get, post, send

INVALID_KEY = (401, 10, "AUTHENTICATION_INVALID")
NOT_FOUND = (404, "ROUTE_NOT_FOUND")


@pytest.mark.parametrize("path", [VIP, AUDIENCES, VIP.replace("1.0", "1.1")])
@pytest.mark.parametrize("header", [{}, {"X-Authorization": "wrong"}, {"Authorization": f"Bearer {REST}"}])
def test_the_rest_key_of_an_app_is_checked(sandbox: Sandbox, path: str, header: dict[str, str]) -> None:
    assert send(sandbox, "GET", path, headers=header).error == INVALID_KEY


@pytest.mark.parametrize("key", ["another-app", PROJECT])
def test_the_app_key_is_checked(sandbox: Sandbox, key: str) -> None:
    assert send(sandbox, "GET", VIP.replace(APP, key)).error == INVALID_KEY


@pytest.mark.parametrize("path", [f"{CEP}/list", f"{CEP}/view?name=vip"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Authorization": REST, "X-Batch-Project": PROJECT},
        {"Authorization": REST, "X-Batch-Project": PROJECT},
        {"Authorization": "Bearer wrong", "X-Batch-Project": PROJECT},
        {"Authorization": f"Bearer {REST}"},
        {"Authorization": f"Bearer {REST}", "X-Batch-Project": "project_other"},
        {"Authorization": f"Bearer {REST}", "X-Batch-Project": APP},
    ],
)
def test_the_keys_of_a_project_are_checked(sandbox: Sandbox, path: str, headers: dict[str, str]) -> None:
    assert send(sandbox, "GET", path, headers=headers).cep_error == (401, "AUTHENTICATION_INVALID")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{CEP}/create"),
        ("POST", f"{CEP}/view"),
        ("PUT", f"{CEP}/replace"),
        ("DELETE", f"{CEP}/remove"),
        ("POST", f"{CEP}/delete"),
        ("POST", f"{CEP}/update/"),
        ("POST", f"{CEP}/update/vip"),
        ("POST", "/2.11/audience/update"),
        ("POST", "/2.10/audiences/update"),
        ("GET", "/2.1/audiences/list"),
    ],
)
def test_routes_of_2_x_are_read_strictly(sandbox: Sandbox, method: str, path: str) -> None:
    assert send(sandbox, method, path, headers=CEP_HEADERS).cep_error == NOT_FOUND


def test_the_2_x_version_that_exists_is_a_setting() -> None:
    paths = ["/2.4/audiences/list", "/2.11/audiences/list", "/2.x/audiences/list", "/3.0/audiences/list"]
    statuses = {}
    for version in ("2.4", None):
        with Sandbox(api_version=version) as sandbox:
            statuses[version] = [send(sandbox, "GET", path, headers=CEP_HEADERS).status for path in paths]
    assert statuses == {"2.4": [200, 404, 404, 404], None: [200, 200, 404, 404]}


def test_a_project_over_its_rate_limit_gets_a_429(clock: Clock) -> None:
    with Sandbox(projects=["one", "two"], requests_per_second=1, clock=clock) as sandbox:
        one, two = ({**CEP_HEADERS, "X-Batch-Project": project} for project in ("one", "two"))
        change = {"name": "vip", "ids": [{"action": "add", "id": "a"}]}
        assert get(sandbox, "list", headers=one).status == 200
        assert post(sandbox, "update", change, headers=one).cep_error == (429, "TOO_MANY_REQUESTS")
        assert sandbox.members("vip", "one") == frozenset()
        assert get(sandbox, "list", headers=two).status == 200
        clock.now += 1
        assert post(sandbox, "update", change, headers=one).status == 202


def test_an_app_over_its_rate_limit_gets_code_60_until_it_waits(clock: Clock) -> None:
    with Sandbox(apps=[APP, "other"], requests_per_second=1, rate_limit_wait=5, clock=clock) as sandbox:
        assert send(sandbox, "PATCH", VIP, changes(["a"])).status == 201
        for _ in range(3):
            rejected = send(sandbox, "PATCH", VIP, changes(["b"]))
            assert rejected.error == (429, 60, "TOO_MANY_REQUESTS")
            assert "retry-after" not in rejected.headers
            assert send(sandbox, "GET", "/1.0/other/custom-audience/vip").status == 200
            clock.now += 4.9
        clock.now += 0.1
        assert send(sandbox, "PATCH", VIP, changes(["c"])).status == 201
        assert sandbox.members("vip") == {"a", "c"}


def test_apps_and_projects_share_no_members(sandbox: Sandbox) -> None:
    send(sandbox, "PATCH", VIP, changes(["app"]), headers=HEADERS)
    post(sandbox, "update", {"name": "vip", "ids": [{"action": "add", "id": "project"}]})
    assert sandbox.members("vip") == {"app"}
    assert sandbox.members("vip", PROJECT) == {"project"}
