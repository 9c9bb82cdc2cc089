"""The documentation's site, on a wide and on a narrow screen."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import pytest
from playwright.sync_api import Page

from tests.docs.pages import DOCS, ROOT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not find_spec("sphinx"), reason="only the newest Airflow's environment builds the site"),
]

_CUT = "[...document.querySelectorAll('pre')].filter(each => each.scrollWidth > each.clientWidth + 1).length"
_WITHOUT_BUTTON = (
    "[...document.querySelectorAll('div.highlight')].filter(each => !each.querySelector('.copybtn')).length"
)


@dataclass(frozen=True)
class Site:
    """The site, served on this machine."""

    url: str
    pages: list[str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", str(DOCS), str(folder)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)
    served = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Site(f"http://127.0.0.1:{server.server_port}", sorted(path.name for path in folder.glob("*.html")))
        server.shutdown()


@pytest.mark.parametrize("width", [1280, 390])
def test_no_code_is_cut_and_all_of_it_can_be_copied(site: Site, page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for name in site.pages:
        page.goto(f"{site.url}/{name}")
        assert page.evaluate(_CUT) == 0, name
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.evaluate(_WITHOUT_BUTTON) == 0, name


def test_a_page_links_to_its_source_and_to_its_edit(site: Site, page: Page) -> None:
    page.goto(f"{site.url}/ids.html")
    targets = [link.get_attribute("href") for link in page.locator("a").all()]
    for ending in ("/blob/main/docs/ids.md?plain=true", "/edit/main/docs/ids.md"):
        assert [target for target in targets if target and target.endswith(ending)], ending
