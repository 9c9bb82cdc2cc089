"""A run of the first example, as Airflow shows it: counts, no ids, no keys."""

from __future__ import annotations

from collections.abc import Callable

import airflow_pages
import local_airflow
import pytest
from airflow_pages import AirflowPages, text_of
from playwright.sync_api import expect

from tests.browser.conftest import DAG
from tests.dags.api import Run

pytestmark = pytest.mark.browser

#: The ids of the example, and every key; both the task's connections' and the sandbox's.
PRIVATE = ("customer-100", "sandbox-rest-key", *local_airflow.APPS.values(), local_airflow.PROJECT)


@pytest.fixture
def finished(started: Run) -> Run:
    """The run, once it has succeeded."""
    started.wait()
    assert started.look() == "success", started.seen
    return started


@pytest.fixture
def seen(pages: AirflowPages, finished: Run) -> Callable[[str], str]:
    """Open a page of the task `update` by its name, and return its text, which tells nothing private."""

    def text(name: str) -> str:
        getattr(pages, name)(DAG, finished.name, "update")
        text = text_of(pages.page)
        assert "update" in text
        assert not [private for private in PRIVATE if private in text]
        return text

    return text


def test_the_summary_is_shown_with_its_counts(seen: Callable[[str], str], pages: AirflowPages) -> None:
    seen("xcoms")
    pages.see("rejections")  # the last that is drawn
    text = text_of(pages.page)
    assert "summary" in text
    as_drawn = text.replace(" ", "").replace('"', "'")  # each Airflow draws JSON in its own way
    for count in ("'audience':'vip'", "'added':3", "'removed':0", "'duplicates':0", "'calls':1"):
        assert count in as_drawn
    assert not [private for private in PRIVATE if private in text]


def test_rendered_fields_show_counts_and_no_ids(seen: Callable[[str], str]) -> None:
    text = seen("rendered_fields")
    assert "3 ids" in text
    assert "vip" in text
    assert "batch_default" in text


def test_the_log_tells_counts_and_no_ids(seen: Callable[[str], str], pages: AirflowPages) -> None:
    seen("log")
    pages.see("vip: 3 added, 0 removed, 0 duplicates, 0 rejected in 1 call")
    text = text_of(pages.page)
    assert not [private for private in PRIVATE if private in text]


def test_the_tasks_page_leads_to_batchs_dashboard(seen: Callable[[str], str], pages: AirflowPages) -> None:
    seen("task")
    link = pages.page.get_by_role("link", name="Batch dashboard")
    expect(link).to_have_attribute("href", airflow_pages.DASHBOARD_URL)


def test_the_graph_shows_the_tasks_and_nothing_private(pages: AirflowPages, finished: Run) -> None:
    pages.graph(DAG, finished.name)
    text = text_of(pages.page)
    for task in ("big_spenders", "update", "wait_until_indexed"):
        assert task in text
    assert not [private for private in PRIVATE if private in text]
