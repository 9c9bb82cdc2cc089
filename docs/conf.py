"""Sphinx's configuration for this documentation; in `make docs`, a warning is an error."""

from __future__ import annotations

import logging
import os
import tempfile

# Before the first import of Airflow, which creates its home in this folder.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-provider-batch-docs-")
os.environ["AIRFLOW_HOME"] = _HOME.name
for _name in ("airflow.configuration", "airflow.settings"):  # they log on import, before logging is configured
    logging.getLogger(_name).setLevel(logging.WARNING)

from airflow_provider_batch import __version__  # noqa: E402

project = "airflow-provider-batch"
author = "The airflow-provider-batch developers"
project_copyright = f"{author}; Apache-2.0. Not affiliated with Batch or the Apache Software Foundation."
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"Batch for Airflow {release}"
html_show_sphinx = False
html_copy_source = False
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
