"""The declared fields of the connection form as Airflow 2's widgets; imported by its web server only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def widgets(conn_fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a text or number field for each of *conn_fields*, none of them required."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from wtforms import IntegerField, StringField
    from wtforms.validators import Optional

    # Airflow 2 knows no field for numbers with decimals; the hook reads them from text.
    return {
        name: (IntegerField if "integer" in field["schema"]["type"] else StringField)(
            label=field["label"], description=field["description"], widget=BS3TextFieldWidget(), validators=[Optional()]
        )
        for name, field in conn_fields.items()
    }
