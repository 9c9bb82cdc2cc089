"""The declared fields of the connection form as Airflow 2's widgets; imported by its web server only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: On the page that edits a connection, the script of Airflow 2's *Test* button needs an editor, which it makes of a
#: text area. Our form hides the one of Extra, so this one is there, out of sight.
_OUT_OF_SIGHT = (
    '<div style="position: absolute; left: -9999px" aria-hidden="true"><textarea tabindex="-1"></textarea></div>'
)


def widgets(conn_fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a text or number field for each of *conn_fields*, none of them required."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from markupsafe import Markup
    from wtforms import IntegerField, StringField
    from wtforms.validators import Optional

    class TextWithEditor(BS3TextFieldWidget):  # type: ignore[misc]
        def __call__(self, field: Any, **kwargs: Any) -> Markup:
            return Markup(super().__call__(field, **kwargs)) + Markup(_OUT_OF_SIGHT)  # noqa: S704

    first = next(iter(conn_fields))
    # Airflow 2 has no field for numbers with decimals; the hook reads them from text.
    return {
        name: (IntegerField if "integer" in field["schema"]["type"] else StringField)(
            label=field["label"],
            description=field["description"],
            widget=TextWithEditor() if name == first else BS3TextFieldWidget(),
            validators=[Optional()],
        )
        for name, field in conn_fields.items()
    }
