"""One Airflow and one browser for all tests of a run: `make browser-test`."""

from __future__ import annotations

from collections.abc import Iterator

import airflow_pages
import pytest
from airflow_pages import AirflowPages, Elsewhere
from playwright.sync_api import BrowserContext, Page

from airflow_provider_batch.sandbox import Sandbox
from tests.dags.api import Run

DAG = "example_custom_audience_update"


@pytest.fixture(scope="session")
def browser() -> Iterator[tuple[BrowserContext, Elsewhere]]:
    """A browser, and the addresses that its pages asked for in vain."""
    with airflow_pages.open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: tuple[BrowserContext, Elsewhere]) -> Iterator[Page]:
    """A new page."""
    page = browser[0].new_page()
    yield page
    page.close()


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Sandbox]]:
    """A whole Airflow's address, and its sandbox."""
    with airflow_pages.open_airflow(tmp_path_factory.mktemp("airflow")) as airflow:
        yield airflow


@pytest.fixture(scope="session")
def sandbox(airflow: tuple[str, Sandbox]) -> Sandbox:
    """The sandbox behind Airflow's connections."""
    return airflow[1]


@pytest.fixture(scope="session")
def started(airflow: tuple[str, Sandbox]) -> Run:
    """A run of the first example, which goes on while other pages are looked at."""
    return Run(airflow[0], DAG, "first")


@pytest.fixture
def pages(airflow: tuple[str, Sandbox], page: Page, started: Run) -> AirflowPages:
    """Airflow's pages."""
    return airflow_pages.airflow_pages(page, airflow[0])
