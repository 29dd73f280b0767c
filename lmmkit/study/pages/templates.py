"""The templates of every page, filled in with all text escaped and no name left undefined.

Text of the data may hold letters that turn the reading of what follows them: a page has none.
"""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from lmmkit.escape import page

_TEMPLATES = Environment(
    loader=PackageLoader("lmmkit.study.pages", "."),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)


def render(template: str, **values: Any) -> str:
    """The page that a template such as `report.html` makes of these values."""
    return page(_TEMPLATES.get_template(template).render(values))
