"""The catalogue: templates that cannot be loaded are reported, and ours can all be loaded."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from app.jobtemplates.catalogue import Catalogue
from templates_lib.base import JobResult, JobTemplate, RunContext
from tests.unit.project.sources import ROOT


def test_a_template_that_cannot_be_loaded_is_reported_and_the_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Good(JobTemplate):
        type, name, description, category, icon = "good", "Good", "d", "c", "i"
        parameters_schema = {"type": "object"}

        def run(self, params: Any, ctx: RunContext) -> JobResult:
            return JobResult("")

    class Nameless(Good):
        type, name = "nameless", ""

    class Twice(Good):
        pass

    class Wrong(Good):
        type, parameters_schema = "wrong", {"type": "array"}

    class Shapeless(Good):
        type, parameters_schema = "shapeless", {"type": "object", "properties": 3}

    class Elsewhere(Good):
        type, parameters_schema = "elsewhere", {"type": "object", "properties": {"a": {"$ref": "https://example.com/schema"}}}

    class Point:
        def __init__(self, name: str, loaded: Any) -> None:
            self.name, self._loaded = name, loaded

        def load(self) -> Any:
            if isinstance(self._loaded, Exception):
                raise self._loaded
            return self._loaded

    points = [
        Point("a", Good),
        Point("b", Nameless),
        Point("c", Twice),
        Point("d", ImportError("no such module")),
        Point("e", dict),
        Point("f", Wrong),
        Point("g", Shapeless),
        Point("h", Elsewhere),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    catalogue = Catalogue.discover()
    assert catalogue.types() == ["good"]
    assert set(catalogue.broken) == {"b", "c", "d", "e", "f", "g", "h"}
    assert "/properties/a/$ref" in catalogue.broken["h"]
    assert catalogue.get("good").help_text == ""
    assert not next(iter(catalogue)).previews


def test_every_kind_of_ours_can_be_loaded_and_has_an_icon() -> None:
    found = Catalogue.discover()
    assert found.broken == {}
    sprite = (ROOT / "web/static/icons.svg").read_text()
    assert [entry.template.icon for entry in found if f'id="{entry.template.icon}"' not in sprite] == []


def test_the_schema_of_a_plug_in_is_converted_when_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Older(JobTemplate):
        """Written years ago."""

        type, name, description, category, icon = "older", "Older", "x", "Tests", "zap"
        parameters_schema: ClassVar[Mapping[str, Any]] = {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "properties": {"pair": {"type": "array", "items": [{"type": "integer"}], "additionalItems": False}},
        }

        def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
            return JobResult("done")

    point = SimpleNamespace(name="older", load=lambda: Older)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    catalogue = Catalogue.discover()
    assert catalogue.broken == {}
    assert [error.pointer for error in catalogue.get("older").validator.errors({"pair": [1, 2]})] == ["/pair/1"]
    assert [change.pointer for change in catalogue.conversions["older"].changes] == [
        "/properties/pair/items",
        "/properties/pair/additionalItems",
    ]


def test_a_template_whose_setting_is_empty_is_off_and_so_is_what_is_derived_from_it() -> None:
    class Needy(JobTemplate):
        type, name, description, category, icon = "needy", "Needy", "d", "c", "zap"
        parameters_schema: ClassVar[Mapping[str, Any]] = {"type": "object", "properties": {}}
        needs_setting = "SOMETHING"

        def run(self, params: Any, ctx: RunContext) -> JobResult:
            return JobResult("")

    version = {"number": 1, "state": "published", "at": None, "definition": {"name": "D", "description": "d", "category": "c"}}
    rows = [{"_id": "derived", "base": "needy", "versions": [version]}]
    code = Catalogue({"needy": Needy()})
    off = code.over(lambda: rows, lambda: 0.0, is_empty=lambda variable: variable == "SOMETHING")
    on = code.over(lambda: rows, lambda: 0.0, is_empty=lambda variable: False)
    assert off.closed("needy") == "is switched off here, because the setting SOMETHING is empty"
    assert [off.is_offered(off.get(kind)) for kind in ("needy", "derived")] == [False, False]
    assert [on.is_offered(on.get(kind)) for kind in ("needy", "derived")] == [True, True]
    assert on.closed("needy") is None
