"""A choice of icons shows them."""

from __future__ import annotations

from tests.posting import Page
from web.forms import Form

SCHEMA = {
    "type": "object",
    "properties": {"icon": {"enum": ["clock", "zap"], "default": "clock", "x-widget": "icons"}},
    "required": ["icon"],
    "additionalProperties": False,
}


def test_each_option_is_drawn_and_the_chosen_one_is_posted() -> None:
    form = Form(SCHEMA)
    html = str(form.render({"icon": "zap"}))
    assert "icons.svg#clock" in html
    assert "icons.svg#zap" in html
    assert form.read(Page(html).pairs(), stored={"icon": "zap"}).value == {"icon": "zap"}


def test_a_value_that_is_not_offered_stays() -> None:
    assert "icons.svg" not in str(Form(SCHEMA).render({"icon": "plug"}))
