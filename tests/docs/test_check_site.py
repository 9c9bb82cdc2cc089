"""What a page may link to, but not load."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from check_site import dead_links, documented, loaded_from_elsewhere, public, titles

from tests.docs.pages import DOCS


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://example.org/y.js">',
        "<link rel=stylesheet href=//example.org/y.css>",
        "@font-face { src: url(//example.org/z.woff2) }",
        '@import "https://example.org/y.css";',
    ],
)
def test_what_is_loaded_from_elsewhere_is_found(text: str) -> None:
    assert loaded_from_elsewhere(text)


@pytest.mark.parametrize(
    "text",
    [
        '<script src="_static/y.js">',
        '<a href="https://example.org">',
        '<link rel="stylesheet" href="_static/y.css">',
        '<link rel="canonical" href="https://example.org/">',
    ],
)
def test_links_and_our_own_files_are_fine(text: str) -> None:
    assert loaded_from_elsewhere(text) is None


def test_the_inventory_of_a_site_is_read() -> None:
    packed = zlib.compress(b"a.Class py:class 1 reference.html#$ -\na.Class.method py:method 1 reference.html#$ -\n")
    assert documented(b"# 1\n# 2\n# 3\n# 4\n" + packed) == {"a.Class", "a.Class.method"}


def test_what_hooks_inherit_of_ours_is_public_and_what_is_airflows_is_not() -> None:
    hook = "airflow_provider_batch.hooks.batch.BatchHook"
    assert {f"{hook}.stop", f"{hook}.update_custom_audience"} <= public()
    assert not {f"{hook}.get_hook", f"{hook}.conn_type"} & public()


def test_every_page_begins_with_its_title() -> None:
    assert [title for title in titles(DOCS) if not title.startswith("# ")] == []


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "one.html").write_text('<h1 id="top">One</h1> <a href="two.html#there">2</a> <a href="#top">up</a>')
    (tmp_path / "two.html").write_text(
        '<a href="one.html#gone">1</a> <a href="three.html">3</a> <a href="https://a.example">a</a>'
    )
    assert dead_links(tmp_path) == ["one.html: two.html#there", "two.html: one.html#gone", "two.html: three.html"]
