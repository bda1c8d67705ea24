"""`jobwright template`: tools for authors of templates."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from app.cli.output import echo


@click.group()
def template() -> None:
    """Create and check job templates."""


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
        echo(f"{template_type}: {'keeps every rule' if not breaches else 'breaks the contract'}")
        for breach in breaches:
            echo(f"  {breach.rule}: {breach.text}")
    sys.exit(1 if count else 0)
