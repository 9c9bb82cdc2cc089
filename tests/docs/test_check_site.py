"""What a page may link to, but not load."""

from __future__ import annotations

import pytest
from check_site import loaded_from_elsewhere


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
