"""Turns fields into HTML. What a control says and offers is decided in controls/ and page/; templates/ has its place on the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from app.errors import FieldError
from app.validation.dynamic import Resolved
from app.validation.words import Words
from web.forms.controls.table import JSON_ON_REQUEST
from web.forms.draw import Drawer
from web.forms.field import Field
from web.forms.page.messages import SummaryLine
from web.forms.page.offers import Options
from web.forms.page.painter import Painter


@dataclass(frozen=True, slots=True)
class Presented:
    """The controls, and the errors with the places where they stand; `is_json` if the whole form is typed as JSON."""

    controls: Markup
    summary: tuple[SummaryLine, ...]
    is_json: bool


def present(
    root: Field,
    errors: Iterable[FieldError],
    *,
    drawer: Drawer,
    options: Options,
    ahead: Resolved,
    saved_secrets: Sequence[str],
    words: Words,
    prefix: str,
    locale: str,
) -> Presented:
    """Returns the form as HTML with its summary. `ahead` has what its dynamic values become now."""
    painter = Painter(
        root,
        list(errors),
        drawer=drawer,
        provider=options,
        prefix=prefix,
        words=words,
        locale=locale,
        saved_secrets=saved_secrets,
        ahead=ahead,
    )
    html = _environment.get_template("form.html").render(p=painter, w=words, root=root)
    return Presented(Markup(html), painter.summary(), root.control is JSON_ON_REQUEST)  # noqa: S704 - autoescaped


_environment = Environment(
    loader=PackageLoader("web.forms"), autoescape=select_autoescape(default=True), trim_blocks=True, lstrip_blocks=True
)
