"""Sphinx's configuration for this documentation; in `make docs`, a warning is an error."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import tomllib
from pathlib import Path

# Before the first import of Airflow, which creates its home in this folder.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-provider-batch-docs-")
os.environ["AIRFLOW_HOME"] = _HOME.name
for _name in ("airflow.configuration", "airflow.settings"):  # they log on import, before logging is configured
    logging.getLogger(_name).setLevel(logging.WARNING)

from sphinx.application import Sphinx  # noqa: E402

from airflow_provider_batch import __version__  # noqa: E402

_ROOT = Path(__file__).parent.parent
_URLS = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]

project = "airflow-provider-batch"
author = "The airflow-provider-batch developers"
project_copyright = f"{author}; Apache-2.0. Not affiliated with Batch or the Apache Software Foundation."
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
html_theme = "furo"
html_title = f"Batch for Airflow {release}"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
# The links to a page's source, and to edit it.
html_theme_options = {
    "source_repository": _URLS["Source"],
    "source_branch": "main",
    "source_directory": "docs/",
    "footer_icons": [{"name": "Repository", "url": _URLS["Source"], "html": "Repository", "class": ""}],
}
copybutton_exclude = ".linenos, .gp, .go"
templates_path: list[str] = []
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# The docstrings are the reference: public names in the order of the source, without names inherited from Airflow.
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
# From the source it would read the defaults of what is written there alone: shared parameters are declared elsewhere.
autodoc_preserve_defaults = False
python_maximum_signature_line_length = 80
default_role = "code"
add_module_names = False

# An unknown name of this package is an error. Names of Python and Airflow are not resolved, which needs a network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!airflow_provider_batch\.).*"),
    # Operators pass this to the hook; users do not.
    (r"py:class", r"airflow_provider_batch\.push\.parcels\.Journal"),
    # The sandbox applies a fault to its responses; users only make one.
    (r"py:class", r"airflow_provider_batch\.sandbox\.(api\.ApiResponse|errors\.ErrorFormat)"),
]


def setup(app: Sphinx) -> None:
    """Adapt the pages, which are written for a code host too, to the site."""
    app.connect("source-read", _for_the_site)
    app.connect("build-finished", _write_llms_txt)


def _for_the_site(app: Sphinx, page: str, source: list[str]) -> None:
    # What only Sphinx understands is in comments; files outside this folder are on the code host.
    text = re.sub(r"^<!-- site\n(.*?)^-->$", r"\1", source[0], flags=re.MULTILINE | re.DOTALL)
    source[0] = re.sub(r"\]\(\.\./", f"]({_URLS['Source']}/blob/main/", text)


def _write_llms_txt(app: Sphinx, error: Exception | None) -> None:
    """Write the text of all pages into one file, in the order of the navigation."""
    if error:
        return
    order = dict.fromkeys(["index", *app.env.toctree_includes.get("index", ())])
    texts = [
        re.sub(r"<!--.*?-->\n?", "", Path(app.srcdir, f"{page}.md").read_text("utf-8"), flags=re.DOTALL)
        for page in order
    ]
    Path(app.outdir, "llms.txt").write_text("\n\n".join(text.strip() for text in texts) + "\n", "utf-8")
