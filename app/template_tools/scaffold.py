"""Writes the package of a new template: `jobwright template new`."""

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
description = "{title}: a job template for Jobwright"
requires-python = ">=3.11"

[project.entry-points."jobwright.templates"]
{name} = "jobwright_{name}.template:{cls}"

[tool.setuptools.packages.find]
include = ["jobwright_{name}*"]

[tool.setuptools.package-data]
"*" = ["README.md"]
""",
    "jobwright_{name}/__init__.py": "",
    "jobwright_{name}/template.py": '''"""The template "{title}": its parameters, and what a run does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from templates_lib.base import JobResult, JobTemplate, RunContext, TemplateError


class {cls}(JobTemplate):
    """Describe here what a run does, and what it may change."""

    type = "{name}"
    name = "{title}"
    description = "Greet somebody, once or several times"
    category = "Examples"
    icon = "flask-conical"
    network = False  # a run calls nobody, so its process gets no network
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
        """Returns what a run would do, without doing it."""
        return JobResult(f"Would greet {{params['who']}} {{params.get('times', 1)}} times")

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        times = params.get("times", 1)
        for number in range(times):
            ctx.check_cancelled()  # a safe point
            ctx.log.info("Hello %s", params["who"])
            ctx.progress(number + 1, times)
        if params["who"] == "nobody":
            raise TemplateError("There is nobody to greet", permanent=True)  # a retry cannot help
        return JobResult(f"Greeted {{params['who']}}", {{"greeted": times, "records_processed": times, "errors": 0}})
''',
    "jobwright_{name}/README.md": """# {title}

Describe the purpose of the template here, in one sentence. Jobwright shows this page as the help of the template.

## Parameters

| name | meaning |
|---|---|
| `who` | The person to greet. |
| `times` | The number of greetings. Default: 1. |

Result: `greeted`.
""",
    "tests/test_contract.py": '''"""The template keeps the template contract."""

from app.jobtemplates.catalogue import Catalogue
from app.template_tools.contract import check_template


def test_the_template_keeps_the_contract() -> None:
    assert check_template(Catalogue.discover(), "{name}") == []
''',
}


def scaffold(name: str, folder: Path) -> list[Path]:
    """Writes a package with the template `name` into `folder`, and returns the paths of its files.

    Raises ValidationFailed for a bad name, and Conflict if the package exists already.
    """
    if _NAME.fullmatch(name) is None:
        problem = "must begin with a letter and consist of lower-case letters, digits and _, such as invoice_run"
        raise ValidationFailed([FieldError("/name", problem)])
    root = folder / f"jobwright-{name.replace('_', '-')}"
    if root.exists():
        raise Conflict(f"{root} exists already")
    placeholders = {
        "name": name,
        "dashed": name.replace("_", "-"),
        "title": name.replace("_", " ").capitalize(),
        "cls": "".join(part.capitalize() for part in name.split("_")),
    }
    files = []
    for path, text in _FILES.items():
        target = root / path.format(**placeholders)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.format(**placeholders), encoding="utf-8")
        files.append(target)
    return files
