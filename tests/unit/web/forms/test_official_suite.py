"""The official JSON Schema test suite through the form: every schema drawn or refused, every instance there and back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
from collections import Counter
from importlib.metadata import version
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.validation.formats import checker
from tests.posting import Page
from web.forms import Form, SchemaRefused
from web.forms.values import same

INSTANCES = 1906
# Schemas that mean something outside themselves (a server of the suite's, the metaschema), or another dialect.
REFUSED = {
    "defs": 1,
    "dynamicRef": 5,
    "optional/cross-draft": 1,
    "optional/format-assertion": 2,
    "ref": 1,
    "refRemote": 15,
    "vocabulary": 2,
}
# `dependencies` is no keyword of this draft; the suite keeps it for those who support it all the same.
FOREIGN = "optional/dependencies-compatibility"
# Instances where jsonschema, read loosely, says otherwise than the suite: patterns of ECMA-262 in Python's dialect, binary floats.
DIFFERENT = {"optional/ecmascript-regex": 32}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The groups of tests by file, out of the sdist of the jsonschema that is installed."""
    folder = tmp_path_factory.mktemp("suite")
    fetch = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", "jsonschema"]
    subprocess.run([*fetch, "--dest", str(folder), f"jsonschema=={version('jsonschema')}"], check=True, timeout=300)
    place = "/json/tests/draft2020-12/"
    with tarfile.open(next(folder.glob("jsonschema-*.tar.gz"))) as archive:
        paths = sorted(name for name in archive.getnames() if place in name and name.endswith(".json"))
        files = {path: archive.extractfile(path) for path in paths}
        return {path.partition(place)[2].removesuffix(".json"): json.load(file) for path, file in files.items() if file}


def test_every_instance_comes_back_as_it_was_with_the_right_verdict(suite: dict[str, list[dict[str, Any]]]) -> None:
    instances, refused, different, drawn = 0, Counter[str](), Counter[str](), 0
    for file, groups in suite.items():
        for group in groups:
            instances += len(group["tests"])
            form, reason = _compiled(group["schema"])
            if form is None:
                assert "other documents are never opened" in reason or "other dialects" in reason, (file, group, reason)
                refused[file] += 1
                continue
            plain = Draft202012Validator(group["schema"], format_checker=checker)
            for test in group["tests"]:
                where, value = (file, group["description"], test["description"]), test["data"]
                submission = form.read(Page(form.render(value)).pairs())
                assert same(submission.value, value), where
                second = _verdict(plain, value)
                assert submission.valid == (second if file in {FOREIGN, "format"} else test["valid"]), where
                different[file] += submission.valid != second
                again = Page(form.render(submission=submission))
                assert same(form.read(again.pairs()).value, value), where
                shown = {one.get("data-pointer", "-") for one in again.controls} | {
                    n.attributes["data-pointer"] for n in again.tree.css("fieldset")
                }
                for error in submission.errors:
                    assert error.message in again.text, where
                    assert error.pointer in shown | {""} or error.pointer.rpartition("/")[0] in shown | {""}, (where, error)
                drawn += 1
    assert instances == INSTANCES
    assert {file: count for file, count in different.items() if count} == DIFFERENT
    assert refused == REFUSED
    assert drawn == INSTANCES - 58


def _verdict(plain: Draft202012Validator, value: Any) -> bool | None:
    """jsonschema's own; None where it raises for a pattern that Python does not know."""
    try:
        return plain.is_valid(value)
    except re.error:
        return None


def _compiled(schema: Any) -> tuple[Form | None, str]:
    """The form, or why there is none."""
    try:
        return Form(schema), ""
    except SchemaRefused as error:
        return None, error.reason
