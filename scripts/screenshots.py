"""
Take the pictures for the documentation, of the Airflow installed for this script's interpreter: `make screenshots`.

The script starts its own Airflow, with the example DAGs and the sandbox, so that the pictures show no real data.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import local_airflow
import requests
from airflow_pages import AirflowPages, airflow_pages, open_airflow, open_browser
from playwright.sync_api import Locator, Page, expect

from airflow_provider_batch.sandbox import Sandbox
from tests.dags.api import Run

DAG, TASK, RUN = "example_custom_audience_update", "update", "example"
CONNECTION = {"Batch API key or project key": "YOUR_BATCH_API_KEY", "REST API key": "YOUR_REST_API_KEY"}

#: The name of a picture, and what it shows: a part of the page, or the visible page.
Picture = tuple[str, Page | Locator]


def pictures(pages: AirflowPages, run: Run, sandbox: Sandbox) -> Iterator[Picture]:
    """Open the pages one after the other, and yield what to take a picture of."""
    page = pages.page
    yield from connection_form(pages)
    if local_airflow.AIRFLOW_2:
        return
    run.wait()
    pages.xcoms(DAG, run.name, TASK)
    pages.see("rejections")
    yield "summary", page
    pages.rendered_fields(DAG, run.name, TASK)
    yield "rendered-fields", page
    # Last of Airflow's pages: once its graph was opened, Airflow 3 shows the graph beside every other page.
    pages.graph(DAG, run.name)
    yield "graph", page
    page.set_viewport_size({"width": 1280, "height": 1100})
    page.goto(sandbox.url)
    expect(page.locator("#link")).to_have_text("live")
    yield "sandbox", page
    rejected = {"type": "custom_ids", "ids": [{"action": "add", "id": "customer-1004"}, {"action": "add", "id": ""}]}
    key = {"X-Authorization": "sandbox-rest-key"}
    requests.patch(f"{sandbox.url}/1.0/sandbox-app-key/custom-audience/vip", json=rejected, headers=key, timeout=30)
    page.locator("#filter").fill("vip")
    page.locator("#calls tr", has_text="400").get_by_role("button").click()
    expect(page.locator("#answer")).to_contain_text("MALFORMED_PARAMETER")
    page.evaluate("scrollTo(0, 0)")
    yield "sandbox-call", page


def connection_form(pages: AirflowPages) -> Iterator[Picture]:
    """Fill the form of the default connection; on Airflow 3 it has two panels, of which one is open."""
    pages.page.set_viewport_size({"width": 1280, "height": 1400})
    pages.new_connection("batch_default")
    pages.fill(CONNECTION if local_airflow.AIRFLOW_2 else CONNECTION | {"Port": "443"})
    if local_airflow.AIRFLOW_2:
        yield "connection-form-airflow-2", pages.form()
        return
    yield "connection-form-airflow-3", pages.form()
    pages.fill({"Platform": "mep"})
    yield "connection-form-airflow-3-extra", pages.form()
    pages.page.set_viewport_size({"width": 1280, "height": 800})


def main() -> None:
    """Take every picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the pictures go")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as home,
        open_airflow(Path(home)) as (url, sandbox),
        open_browser() as (context, _),
    ):
        pages = airflow_pages(context.new_page(), url)
        for name, shown in pictures(pages, Run(url, DAG, RUN), sandbox):
            path = folder / f"{name}.png"
            shown.screenshot(path=path, animations="disabled", caret="hide")
            local_airflow.say(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
