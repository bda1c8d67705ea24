"""`find … -mtime +N -delete` becomes a cleanup of files, and mongodump a backup."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from app.imports.entries import Draft
from app.imports.mapping.calls import NotOurs
from app.imports.mapping.lines import Line
from app.imports.mapping.needs import connection
from app.imports.names import slug

_AGE = re.compile(r"\+(\d+)")
MOST_DELETES = 10_000


def map_find(line: Line, draft: Draft) -> None:
    """Makes a cleanup of files. Raises NotOurs for any other use of find."""
    texts = line.texts[1:]
    folders = []
    while texts and not texts[0].startswith("-") and texts[0] != "(":
        folders.append(texts.pop(0))
    if len(folders) != 1 or not folders[0].startswith("/") or folders[0].strip("/") == "" or line.words[1].pattern:
        raise NotOurs
    parameters = _conditions(texts)
    if "older_than_days" not in parameters:
        raise NotOurs
    folder = folders[0].rstrip("/")
    store = connection(draft, "file_store", folder, {"path": folder})
    draft.mapped("command", "find", "template_type", f"it deletes old files; a run deletes at most {MOST_DELETES:,} of them")
    draft.body |= {"template_type": "file_cleanup", "parameters": {"store": store, "recursive": True, **parameters, "dryRun": False}}


def _conditions(texts: list[str]) -> dict[str, Any]:
    """Returns the parameters of the conditions. `-mtime +7` means eight days or more: find(1) counts whole days."""
    parameters: dict[str, Any] = {}
    place, deletes = 0, False
    while place < len(texts):
        option, value = texts[place], texts[place + 1] if place + 1 < len(texts) else ""
        place += 2
        age = _AGE.fullmatch(value)
        if option == "-mtime" and age:
            parameters["older_than_days"] = int(age[1]) + 1
        elif option == "-mmin" and age:
            parameters["older_than_days"] = round(int(age[1]) / 1440, 6)
        elif option == "-name" and re.fullmatch(r"[^/\[\]]+", value):
            parameters["pattern"] = value
        elif option == "-type" and value == "f":
            pass
        elif option == "-maxdepth" and value == "1":
            parameters["recursive"] = False
        elif option == "-mindepth" and value == "1":
            pass
        elif option == "-delete":
            deletes, place = True, place - 1
        elif option == "-print":
            place -= 1
        elif option == "-exec" and texts[place - 1 :] in (
            ["rm", "{}", ";"],
            ["rm", "-f", "{}", ";"],
            ["rm", "-f", "{}", "+"],
            ["rm", "{}", "+"],
        ):
            deletes, place = True, len(texts)
        else:
            raise NotOurs
    if not deletes or ("-type" not in texts and "-name" not in texts):
        raise NotOurs
    return parameters


def map_mongodump(line: Line, draft: Draft) -> None:
    """Makes a backup. Raises NotOurs for options that the backup does not know."""
    options = _options(line.texts[1:])
    uri, database, collection = options.pop("uri", ""), options.pop("db", ""), options.pop("collection", "")
    target = options.pop("out", "") or options.pop("archive", "")
    host, port, user = options.pop("host", "localhost"), options.pop("port", ""), options.pop("username", "")
    for name in ("gzip", "quiet", "password", "authenticationDatabase", "ssl", "tls", "numParallelCollections", "forceTableScan"):
        options.pop(name, None)
    if options or not target.startswith("/"):
        raise NotOurs
    parts = urlsplit(uri) if uri else None
    host = (parts.hostname or host) if parts else host.partition(":")[0]
    database = database or (parts.path.strip("/") if parts else "")
    if not database:
        raise NotOurs  # a backup saves one database
    folder = re.sub(r"/[^/]*\{date\}.*", "", target) if "{date}" in target else target.rstrip("/").rpartition("/")[0] or target
    settings = {"uri": f"mongodb://{host}{f':{port}' if port else ''}", "database": database}
    needs_secret = "the address with user name and password" if user or (parts and parts.username) else ""
    source = connection(draft, "mongodb", f"{host}-{database}", settings, secret=needs_secret)
    store = connection(draft, "file_store", folder, {"path": folder})
    draft.mapped(
        "command", "mongodump", "template_type", "the archive has another format than that of mongodump, and its own restore command"
    )
    parameters = {"connection": source, "store": store, "name": slug(database), **({"collections": [collection]} if collection else {})}
    draft.body |= {"template_type": "backup", "parameters": parameters}


_SHORT = {"h": "host", "d": "db", "c": "collection", "o": "out", "u": "username", "p": "password"}
_FLAGS = {"gzip", "quiet", "ssl", "tls", "forceTableScan"}


def _options(texts: list[str]) -> dict[str, str]:
    found, place = {}, 0
    while place < len(texts):
        text = texts[place]
        place += 1
        name, equals, value = text.lstrip("-").partition("=")
        if not text.startswith("-"):
            raise NotOurs
        if not text.startswith("--"):
            if name[:1] not in _SHORT:
                raise NotOurs
            name, value, equals = _SHORT[name[0]], name[1:], name[1:]
        if not equals and name not in _FLAGS:
            value, place = (texts[place] if place < len(texts) else ""), place + 1
        found[name] = value
    return found
