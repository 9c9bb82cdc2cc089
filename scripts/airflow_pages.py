"""
Drive the pages of Airflow and of the sandbox in a headless Chromium, for the browser tests and `make screenshots`.

The classes for Airflow 2 and 3 have the same methods, so that callers need not know how a page is built. Pages load
nothing from other machines.
"""

from __future__ import annotations

import json
import os
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import local_airflow
from local_postgres import metadata_database
from playwright.sync_api import BrowserContext, Locator, Page, Route, expect, sync_playwright

from airflow_provider_batch.sandbox import Sandbox

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")

#: Chromium needs the first flag to run as root, as in a container; the others stop requests to its vendor.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

#: The target of the links of the default connection's tasks; the address does not exist, and no test opens it.
DASHBOARD_URL = "https://dashboard.example/apps/live"

#: Seconds until something must have appeared; long, because the machine may be busy.
PATIENCE = 60

_TEXT = """() => {
    const hosts = [...document.querySelectorAll("*")].filter(element => element.shadowRoot);
    const roots = hosts.flatMap(host => [...host.shadowRoot.children]);
    return [document.body, ...roots].map(root => root.innerText ?? "").join("\\n");
}"""


@dataclass(frozen=True)
class Field:
    """One field of the connection form, as the page shows it."""

    label: str
    placeholder: str
    description: str
    value: str


class Elsewhere(list[str]):
    """The URLs on other machines that pages requested; all these requests are blocked."""

    def gate(self, route: Route) -> None:
        """Let a request through if it is to this machine; otherwise record and block it."""
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            self.append(route.request.url)
            route.abort()


@contextmanager
def open_browser() -> Iterator[tuple[BrowserContext, Elsewhere]]:
    """Start a browser with a new profile; yield it with the requests of its pages to other machines."""
    elsewhere = Elsewhere()
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=CHROMIUM,
            args=_FLAGS,
            viewport={"width": 1280, "height": 800},
            locale="en-GB",
            timezone_id="UTC",
            color_scheme="light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE * 1000)
        expect.set_options(timeout=PATIENCE * 1000)
        context.route("**/*", elsewhere.gate)
        try:
            yield context, elsewhere
        finally:
            context.close()


@contextmanager
def open_airflow(home: Path) -> Iterator[tuple[str, Sandbox]]:
    """Run a complete Airflow with the example DAGs, and a sandbox; yield Airflow's URL and the sandbox."""
    port = local_airflow.free_port()
    apps = local_airflow.APPS.values()
    with (
        Sandbox(local_airflow.AUDIENCES, apps=apps, projects=[local_airflow.PROJECT], indexing_delay=2.0) as sandbox,
        metadata_database() as database,
    ):
        env = local_airflow.environment(home, local_airflow.ROOT / "example_dags", sandbox, port) | database
        default = json.loads(env["AIRFLOW_CONN_BATCH_DEFAULT"])
        env["AIRFLOW_CONN_BATCH_DEFAULT"] = json.dumps({**default, "extra": {"dashboard_url": DASHBOARD_URL}})
        with local_airflow.standalone(env, port, home / "standalone.log") as url:
            yield url, sandbox


def text_of(page: Page) -> str:
    """Return the visible text of *page*, its shadow roots included, with single spaces."""
    text: str = page.evaluate(_TEXT)
    return " ".join(text.split())


class AirflowPages(ABC):
    """The pages of one Airflow, opened in *page*."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url

    @abstractmethod
    def new_connection(self, conn_id: str) -> None:
        """Open the empty form for a connection of type Batch."""

    @abstractmethod
    def edit_connection(self, conn_id: str) -> None:
        """Open the form of an existing connection."""

    @abstractmethod
    def form(self) -> Locator:
        """Return the open form."""

    @abstractmethod
    def fields(self) -> list[Field]:
        """Return the fields of the form, except id and type."""

    @abstractmethod
    def fill(self, values: Mapping[str, str]) -> None:
        """Enter *values* into the form, by the fields' labels."""

    @abstractmethod
    def save(self) -> None:
        """Save the form."""

    @abstractmethod
    def test(self) -> str:
        """Test the values in the form with the button *Test*, and return Airflow's message."""

    @abstractmethod
    def graph(self, dag: str, run: str) -> None:
        """Open the graph of *dag* with the states of *run*."""

    @abstractmethod
    def task(self, dag: str, run: str, task: str) -> None:
        """Open the details of a task."""

    @abstractmethod
    def log(self, dag: str, run: str, task: str) -> None:
        """Open the log of a task."""

    @abstractmethod
    def rendered_fields(self, dag: str, run: str, task: str) -> None:
        """Open the rendered fields of a task."""

    @abstractmethod
    def xcoms(self, dag: str, run: str, task: str) -> None:
        """Open the XComs of a task."""

    def see(self, *texts: str) -> None:
        """Wait until the page shows all of *texts*."""
        for text in texts:
            expect(self.page.get_by_text(text).first).to_be_visible()


class Airflow3Pages(AirflowPages):
    """Airflow 3: a React app; the form is a dialog with panels, and *Test* is a button in the list of connections."""

    _PANELS = ("Standard Fields", "Extra Fields")
    _conn_id = ""

    def new_connection(self, conn_id: str) -> None:
        self._list()
        self.page.get_by_role("button", name="Add Connection").click()
        self.form().get_by_label("Connection ID").fill(conn_id)
        self.form().get_by_role("combobox").fill("Batch")
        self.page.get_by_role("option", name="Batch", exact=True).click()
        self._panel(self._PANELS[0])
        self._conn_id = conn_id

    def edit_connection(self, conn_id: str) -> None:
        self._list()
        self._row(conn_id).get_by_role("button", name="Edit Connection").click()
        self._panel(self._PANELS[0])
        self._conn_id = conn_id

    def form(self) -> Locator:
        return self.page.get_by_role("dialog")

    def fields(self) -> list[Field]:
        return [self._field(row) for panel in self._PANELS for row in self._rows(panel)]

    def fill(self, values: Mapping[str, str]) -> None:
        left = dict(values)
        for panel in self._PANELS:
            for row in self._rows(panel) if left else ():
                if (value := left.pop(_label(row), None)) is None:
                    continue
                if (choice := row.get_by_role("combobox")).count():
                    choice.fill(value)
                    self.page.get_by_role("option").filter(has_text=value).first.click()
                else:
                    (field := _input(row)).fill(value)
                    field.blur()
        assert not left, f"the form has no fields {left.keys()}"

    def save(self) -> None:
        self.form().get_by_role("button", name="Save").click()
        expect(self.form()).to_be_hidden()

    def test(self) -> str:
        self.save()
        self._list()
        self._row(self._conn_id).get_by_role("button", name="Test Connection").click()
        toast = self.page.locator("[data-scope=toast][data-part=root]").filter(has_text="Test Connection")
        return toast.inner_text()

    def graph(self, dag: str, run: str) -> None:
        self.page.goto(f"{self.url}/dags/{dag}/runs/{run}")
        self.page.get_by_role("button", name="Show Graph").click()
        expect(self.page.locator(".react-flow__node").first).to_be_visible()

    def task(self, dag: str, run: str, task: str) -> None:
        self._task(dag, run, task, "/details")
        self.see("Hostname")

    def log(self, dag: str, run: str, task: str) -> None:
        self._task(dag, run, task, "")
        self.see("Log message source details")

    def rendered_fields(self, dag: str, run: str, task: str) -> None:
        self._task(dag, run, task, "/rendered_templates")
        self.see("audience_name", "batch_conn_id")

    def xcoms(self, dag: str, run: str, task: str) -> None:
        self._task(dag, run, task, "/xcom")
        self.see("return_value")
        self.page.get_by_role("button", name="Expand all").click()

    def _task(self, dag: str, run: str, task: str, tab: str) -> None:
        self.page.goto(f"{self.url}/dags/{dag}/runs/{run}/tasks/{task}{tab}")

    def _list(self) -> None:
        self.page.goto(f"{self.url}/connections")

    def _row(self, conn_id: str) -> Locator:
        return self.page.get_by_role("row").filter(has=self.page.get_by_text(conn_id, exact=True))

    def _panel(self, name: str) -> Locator:
        """Open the panel *name*; this closes the other one."""
        button = self.page.get_by_role("button", name=name, exact=True)
        if button.get_attribute("aria-expanded") == "false":
            button.click()
        panel = self.form().locator("[data-scope=accordion][data-part=item]").filter(has=button)
        expect(panel.locator("label").last).to_be_visible()
        return panel

    def _rows(self, panel: str) -> list[Locator]:
        return self._panel(panel).locator("[data-scope=field][data-part=root]").all()

    def _field(self, row: Locator) -> Field:
        if row.get_by_role("combobox").count():
            value = row.locator("[id^=element_] > div").inner_text()
        else:
            value = _input(row).input_value()
        return Field(_label(row), _placeholder(row), _text(row.locator("[data-part=helper-text]")), value)


class Airflow2Pages(AirflowPages):
    """Airflow 2: the form is a table on its own page, with *Test* below; the grid is in a shadow root."""

    def new_connection(self, conn_id: str) -> None:
        self.page.goto(f"{self.url}/connection/add")
        self.page.get_by_label("Connection Id").fill(conn_id)
        self.page.locator("#conn_type").select_option("batch")
        self._await_form()

    def edit_connection(self, conn_id: str) -> None:
        self.page.goto(f"{self.url}/connection/list/")
        row = self.page.get_by_role("row").filter(has=self.page.get_by_role("cell", name=conn_id, exact=True))
        row.locator("a[href*='/connection/edit/']").click()
        self._await_form()

    def form(self) -> Locator:
        return self.page.locator("#model_form")

    def fields(self) -> list[Field]:
        return [
            Field(_label(row), _placeholder(row), _text(row.locator(".help-block")), _input(row).input_value())
            for row in self.form().locator("tr:visible").filter(has_not=self.page.locator("#conn_id, #conn_type")).all()
        ]

    def fill(self, values: Mapping[str, str]) -> None:
        for label, value in values.items():
            self.form().get_by_label(label, exact=True).fill(value)

    def save(self) -> None:
        self.page.get_by_role("button", name="Save").click()
        expect(self.page.locator(".alert").filter(has_text="Row").first).to_be_visible()

    def test(self) -> str:
        # An earlier message is hidden until the new answer arrives.
        with self.page.expect_response("**/connections/test"):
            self.page.get_by_role("button", name="Test").click()
        message = self.page.locator(".alert-success, .alert-error")
        expect(message).to_be_visible()
        return message.inner_text()

    def graph(self, dag: str, run: str) -> None:
        self._grid(dag, dag_run_id=run, tab="graph")
        expect(self.page.locator(".react-flow__node").first).to_be_visible()

    def task(self, dag: str, run: str, task: str) -> None:
        self._grid(dag, dag_run_id=run, task_id=task, tab="details")
        self.see("Operator")

    def log(self, dag: str, run: str, task: str) -> None:
        self._grid(dag, dag_run_id=run, task_id=task, tab="logs")
        self.see("Post task execution logs")

    def rendered_fields(self, dag: str, run: str, task: str) -> None:
        ran = self.page.request.get(f"{self.url}/api/v1/dags/{dag}/dagRuns/{run}").json()
        query = {"dag_id": dag, "task_id": task, "execution_date": ran["execution_date"], "map_index": -1}
        self.page.goto(f"{self.url}/rendered-templates?{urlencode(query)}")
        self.see("audience_name", "batch_conn_id")

    def xcoms(self, dag: str, run: str, task: str) -> None:
        self._grid(dag, dag_run_id=run, task_id=task, tab="xcom")
        self.see("return_value")

    def _await_form(self) -> None:
        """Wait until the page's script has placed the fields of our connection type."""
        expect(self.page.locator("#test-connection")).to_be_visible()
        expect(self.form().locator("label:visible[for^=extra__batch__]").last).to_be_visible()

    def _grid(self, dag: str, **query: str) -> None:
        self.page.goto(f"{self.url}/dags/{dag}/grid?{urlencode(query)}")


def airflow_pages(page: Page, url: str) -> AirflowPages:
    """Return the pages of the Airflow that runs at *url*."""
    return (Airflow2Pages if local_airflow.AIRFLOW_2 else Airflow3Pages)(page, url)


def _label(row: Locator) -> str:
    return row.locator("label").first.inner_text().strip(" *\n")


def _input(row: Locator) -> Locator:
    return row.locator("input:not([type=hidden]), textarea, select").first


def _placeholder(row: Locator) -> str:
    return _input(row).get_attribute("placeholder") or ""


def _text(found: Locator) -> str:
    return found.first.inner_text().strip() if found.count() else ""
