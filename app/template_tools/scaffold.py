"""A package with a kind of job in it, to begin with: `jobwright template new`."""

from __future__ import annotations

import re
from pathlib import Path

from app.errors import Conflict, FieldError, ValidationFailed

_NAME = re.compile(r"[a-z][a-z0-9_]{1,40}")

_FILES = {
    "pyproject.toml": """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "jobwright-{dashed}"
version = "0.1.0"
description = "{title}: a kind of job for Jobwright"
requires-python = ">=3.11"

[project.entry-points."jobwright.templates"]
{name} = "jobwright_{name}.template:{cls}"

[tool.setuptools.packages.find]
include = ["jobwright_{name}*"]

[tool.setuptools.package-data]
"*" = ["README.md"]
""",
    "jobwright_{name}/__init__.py": "",
    "jobwright_{name}/template.py": '''"""{title}: what it asks, and what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from templates_lib.base import JobResult, JobTemplate, RunContext, TemplateError


class {cls}(JobTemplate):
    """Say here what a run does, and what it may change."""

    type = "{name}"
    name = "{title}"
    description = "Greet somebody, as often as they like"
    category = "Examples"
    icon = "flask-conical"
    network = False  # nothing is called: its processes have no network
    parameters_schema: ClassVar[Mapping[str, Any]] = {{
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {{
            "who": {{"type": "string", "title": "Who", "minLength": 1, "maxLength": 200}},
            "times": {{"type": "integer", "title": "Times", "minimum": 1, "maximum": 1000, "default": 1}},
        }},
        "required": ["who"],
        "additionalProperties": False,
        "examples": [{{"who": "Ada", "times": 3}}],
    }}

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """What a run would do; it changes nothing."""
        return JobResult(f"Would greet {{params['who']}} {{params.get('times', 1)}} times")

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        times = params.get("times", 1)
        for number in range(times):
            ctx.check_cancelled()  # a safe point
            ctx.log.info("Hello %s", params["who"])
            ctx.progress(number + 1, times)
        if params["who"] == "nobody":
            raise TemplateError("There is nobody to greet", permanent=True)  # trying again cannot help
        return JobResult(f"Greeted {{params['who']}}", {{"greeted": times, "records_processed": times, "errors": 0}})
''',
    "jobwright_{name}/README.md": """# {title}

Say here what it is for, in a sentence. This page is shown in Jobwright.

## Parameters

| name | meaning |
|---|---|
| `who` | Who is greeted. |
| `times` | How often, once by default. |

Result: `greeted`.
""",
    "tests/test_contract.py": '''"""What any kind must keep; and what this one does."""

from app.jobtemplates.catalogue import Catalogue
from app.template_tools.contract import check_kind


def test_it_keeps_what_any_kind_must() -> None:
    assert check_kind(Catalogue.discover(), "{name}") == []
''',
}


def scaffold(name: str, folder: Path) -> list[Path]:
    """Write a package with the kind `name` below `folder`; returns the files. Raises ValidationFailed, Conflict where it is there."""
    if _NAME.fullmatch(name) is None:
        wrong = "must be of small letters, digits and _, and begin with a letter, such as invoice_run"
        raise ValidationFailed([FieldError("/name", wrong)])
    root = folder / f"jobwright-{name.replace('_', '-')}"
    if root.exists():
        raise Conflict(f"{root} is there already")
    words = {
        "name": name,
        "dashed": name.replace("_", "-"),
        "title": name.replace("_", " ").capitalize(),
        "cls": "".join(part.capitalize() for part in name.split("_")),
    }
    made = []
    for path, text in _FILES.items():
        target = root / path.format(**words)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.format(**words), encoding="utf-8")
        made.append(target)
    return made
