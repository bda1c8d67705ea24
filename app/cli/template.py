"""`jobwright template`: the templates of a registry, and tools for authors of templates."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.client import Client
from app.cli.connect import with_client
from app.cli.groups import OrderedGroup
from app.cli.look_up import id_of
from app.cli.options import JSON
from app.cli.output import Column, echo, print_json, print_page

if TYPE_CHECKING:
    from app.validation.older import Converted


@click.group(cls=OrderedGroup)
def template() -> None:
    """List, create and check job templates."""


@template.command("list")
@JSON
@with_client
def list_templates(client: Client, as_json: bool) -> None:
    """List the templates that jobs can be made from."""
    answer = client.get("/job-templates", "templates")
    if as_json:
        print_json(answer)
        return
    columns = [
        Column("Type"),
        Column("Name", cut=True),
        Column("Category", spare=True),
        Column("State"),
        Column("Deletes data"),
        Column("Description", cut=True, spare=True),
    ]
    rows = [
        (
            id_of(row),
            row.get("name"),
            row.get("category"),
            "enabled" if row.get("enabled") else "disabled",
            "yes" if row.get("destructive") else "no",
            row.get("description"),
        )
        for row in answer["templates"]
    ]
    print_page(columns, rows, answer, singular="template", plural="templates", timed=False)


@template.command("new")
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The folder in which the package is created. Default: the current folder.",
)
def new(name: str, folder: Path) -> None:
    """Create a package with a new job template, its README and its tests."""
    from app.template_tools.scaffold import scaffold  # noqa: PLC0415 - `--help` does without it

    files = scaffold(name, folder)
    echo("\n".join(map(str, files)))
    echo(f"\nInstall the package beside Jobwright (pip install {files[0].parent}). Then run: jobwright template check {name}")


@template.command("check")
@click.argument("names", nargs=-1)
def check(names: tuple[str, ...]) -> None:
    """Check job templates against the template contract.

    Checks the named templates; all of them by default. The exit code is 1 if a template breaks a rule.
    """
    # The check draws forms. The other commands need no web framework.
    from app.events import configure_logging  # noqa: PLC0415
    from app.jobtemplates.catalogue import Catalogue  # noqa: PLC0415
    from app.template_tools.contract import check_template  # noqa: PLC0415

    configure_logging(level="ERROR")
    catalogue = Catalogue.discover()
    count = len(catalogue.broken)
    for name, reason in catalogue.broken.items():
        echo(f"{name}: cannot be loaded: {reason.splitlines()[0]}")
    for template_type in names or catalogue.types():
        breaches = check_template(catalogue, template_type)
        count += len(breaches)
        echo(f"{template_type}: {'ok' if not breaches else 'breaks the contract'}")
        for breach in breaches:
            echo(f"  {breach.rule}: {breach.text}")
        if template_type in catalogue.conversions:
            _tell_changes(catalogue.conversions[template_type])
    sys.exit(1 if count else 0)


@template.command("bundle")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that must contain all the files. Default: the folder of FILE.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the schema to this file. Default: print it.")
def bundle_files(file: Path, root: Path | None, output: Path | None) -> None:
    """Combine a JSON Schema and the local files that it refers to.

    The result is one schema of draft 2020-12, which Jobwright accepts. Older drafts are converted. Nothing is fetched from the network.
    """
    from app.template_tools.bundle import BundleRefused, bundle  # noqa: PLC0415 - `--help` does without it

    try:
        result = bundle(file, root)
        text = json.dumps(result.schema, indent=2, ensure_ascii=False)
        if output is not None:
            output.write_text(f"{text}\n", encoding="utf-8")
    except BundleRefused as refused:
        raise click.ClickException(str(refused)) from refused
    except OSError as error:
        raise click.ClickException(f"{output}: cannot be written: {error.strerror or error}") from error
    _tell_changes(result)
    echo(text if output is None else f"Wrote {output}")


def _tell_changes(result: Converted) -> None:
    """Prints what a conversion changed, on standard error."""
    if not result.changes:
        return
    echo(f"  The schema was converted from {result.source.title} to 2020-12:", err=True)
    for change in result.changes:
        echo(f"    {change.pointer or '/'}: {change.text}", err=True)
