"""make messages: collects what pages say into `web/locale/<language>.po`, and what triggers say into `app/triggers/locale/<language>.po`.
web.language reads both.

Keys are English sentences: of templates by `_` and `ngettext`, of Python by `say` and by the errors that take a sentence, of schemas
by what they say to people. A sentence that is new comes without a translation; one that is no longer said goes.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract
from werkzeug import exceptions
from zxcvbn import feedback

from app.accounts.preferences import LANGUAGES
from app.config import Settings
from app.jobtemplates.catalogue import Catalogue
from app.notification.channels.catalogue import ChannelTypes
from app.triggers.words import LOCALES as TRIGGER_LOCALES
from templates_lib.connections import KINDS
from web.language import LOCALES, TEXTS, texts_of

ROOT = Path(__file__).parents[1]
ENGLISH = "en"
Key = str | tuple[str, str]
HEADER = """# What pages say, by the English sentence; kept complete by `make messages`.
msgid ""
msgstr ""
"Language: {language}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: {plural}\\n"

"""
# Which arguments of a call are sentences.
SAYS: dict[str, tuple[int, ...]] = {
    "say": (0,),
    "say_many": (0, 1),
    "counted": (0, 1),
    "FieldError": (1,),
    "Problem": (1,),
    "SchemaRefused": (1,),
    "ApprovalNeeded": (1,),
    "Conflict": (0,),
    "Forbidden": (0,),
    "NotFound": (0,),
    "LimitReached": (0,),
    "NotSignedIn": (0,),
    "AlreadyRunning": (0,),
    "MigrationFailed": (0,),
    "StoreUnavailable": (0,),
    "Wrong": (0,),
    "CronError": (0,),
    "JsonRefused": (0,),
    "PatternRefused": (0,),
    "FileRefused": (0,),
    "tell": (0,),
}
# Where nothing that is said reaches a page: REST answers, the command line, what authors of templates are told.
UNSEEN = (
    "app/api/",
    "app/cli/",
    "app/demo/",
    "app/template_tools/",
    "app/doctor/",
    "app/config/",
    "web/forms/json_text.py",
)
TRIGGERS = "app/triggers/"  # has a catalogue of its own: a new type of schedule brings all its sentences to one place
# Errors that Werkzeug and Flask raise by themselves.
HTTP = (exceptions.NotFound, exceptions.MethodNotAllowed, exceptions.RequestEntityTooLarge, exceptions.BadRequest)


def said_in_code(path: Path) -> Iterator[Key]:
    """The sentences of one Python file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in SAYS:
                texts_of_places = [list(_constants(node.args[place])) for place in SAYS[name] if place < len(node.args)]
                if len(SAYS[name]) > 1 and all(texts_of_places):
                    yield texts_of_places[0][0], texts_of_places[1][0]
                elif len(SAYS[name]) == 1:
                    yield from (text for texts in texts_of_places for text in texts)
            case ast.Dict():
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value in TEXTS:
                        yield from _constants(value)
            case ast.ClassDef():
                yield from (text for name, text in _declared(node) if name == "title")


def _constants(node: ast.expr) -> Iterator[str]:
    """The text that an expression is, or those that it chooses from."""
    match node:
        case ast.Constant(value=str(text)) if text:
            yield text
        case ast.IfExp():
            yield from _constants(node.body)
            yield from _constants(node.orelse)
        case ast.BoolOp():
            for value in node.values:
                yield from _constants(value)


def _declared(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for line in node.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            yield from ((line.targets[0].id, text) for text in _constants(line.value))


def said_by_parts() -> Iterator[str]:
    """What templates, connections, settings and libraries say of themselves."""
    for entry in Catalogue.discover().code():
        if not type(entry.template).__module__.startswith("templates_lib."):
            continue  # another's: what it says of itself is not ours to translate
        yield from (entry.name, entry.description, entry.category, entry.template.estimated_duration)
        yield from texts_of(entry.parameters_schema)
    for kind in KINDS.values():
        yield from (kind.name, kind.description)
        yield from texts_of(kind.settings_schema)
    for channel in ChannelTypes.discover():
        if type(channel).__module__.startswith("app."):
            yield from (channel.title, channel.description)
            yield from texts_of(channel.settings_schema())
    yield from (item.metadata["text"] for item in fields(Settings) if "text" in item.metadata)
    for error in HTTP:
        yield from (error().name, error.description or "")
    for node in ast.walk(ast.parse(Path(feedback.__file__).read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            yield from _constants(node.args[0])


def pieces() -> list[str]:
    """Places in the code where a sentence is put together by an f-string, which no catalogue can know."""
    problems = []
    for path in _code():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in SAYS:
                    given = [node.args[place] for place in SAYS[name] if place < len(node.args)]
                    problems += [f"{path.relative_to(ROOT)}:{argument.lineno}" for argument in given if isinstance(argument, ast.JoinedStr)]
    return problems


def _code() -> Iterator[Path]:
    for folder in ("web", "app", "templates_lib"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.relative_to(ROOT).as_posix().startswith(UNSEEN):
                yield path


def collect() -> dict[Key, None]:
    """All that pages say, in an order that stays."""
    keys: dict[Key, None] = {}
    for path in sorted((ROOT / "web").rglob("*.html")):
        with path.open("rb") as file:
            for _, name, message, _ in babel_extract(file, ("_", "ngettext"), [], {}):
                if name == "ngettext" and isinstance(message, tuple):
                    keys[str(message[0]), str(message[1])] = None
                else:
                    keys[str(message[0] if isinstance(message, tuple) else message)] = None
    for path in _code():
        if not path.relative_to(ROOT).as_posix().startswith(TRIGGERS):
            keys.update(dict.fromkeys(said_in_code(path)))
    keys.update(dict.fromkeys(text for text in said_by_parts() if text))
    singles = {key[0] for key in keys if isinstance(key, tuple)}
    return {key: None for key in keys if key not in singles}


def collect_triggers() -> dict[Key, None]:
    """All that triggers say, in an order that stays."""
    return {key: None for path in _code() if path.relative_to(ROOT).as_posix().startswith(TRIGGERS) for key in said_in_code(path)}


def renewed(old: Catalog, language: str, sentences: Iterable[Key]) -> Catalog:
    """A catalogue of these sentences, with the translations that the old one has."""
    catalogue = Catalog(language)
    for key in sentences:
        before: Any = old.get(key)
        catalogue.add(key, before.string if before is not None else None)
    return catalogue


def main() -> int:
    """Write the catalogues; say how many sentences wait for a translation."""
    for language, (folder, sentences) in product(LANGUAGES, ((LOCALES, collect()), (TRIGGER_LOCALES, collect_triggers()))):
        if language == ENGLISH:
            continue
        path = folder / f"{language}.po"
        with path.open("rb") as file:
            catalogue = renewed(read_po(file, locale=language), language, sentences)
        with path.open("wb") as file:
            file.write(HEADER.format(language=language, plural=catalogue.plural_forms).encode())
            write_po(file, catalogue, width=0, omit_header=True)
        missing = sum(
            1 for message in catalogue if message.id and not (all(message.string) if isinstance(message.string, tuple) else message.string)
        )
        sys.stdout.write(f"{path.relative_to(ROOT)}: {len(catalogue)} sentences, {missing} without a translation\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
