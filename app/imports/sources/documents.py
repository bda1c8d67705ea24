"""Files of other schedulers: read with limits, as text, YAML or JSON. Nothing in them is executed, and no tag of YAML makes an object."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from app.imports.entries import Draft
from app.imports.sources.base import SourceError, read_bytes

LARGEST_BYTES = 20_000_000
MOST_FILES = 20_000
MOST_VALUES = 2_000_000  # of one file; aliases of YAML make billions of them out of a few lines
DEEPEST = 60
LONGEST_RAW = 1_500
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # all scalars are texts: no date, no octal number, no object


@dataclass(slots=True)
class Files:
    """The files of a place that were read, for the digest of a source."""

    digest: Any = field(default_factory=hashlib.sha256)

    def read(self, path: Path, *, strict: bool = True) -> str:
        """Returns the text of a file. Raises SourceError if it cannot be read, is too large, or, with `strict`, is not UTF-8."""
        data = read_bytes(path, LARGEST_BYTES)
        self.digest.update(f"{path.name}\0{len(data)}\0".encode() + data)
        try:
            return data.decode("utf-8-sig", errors="strict" if strict else "replace")
        except UnicodeDecodeError as error:
            raise SourceError(f"{path} is not UTF-8: the byte at position {error.start} is wrong. Convert it with iconv.") from error


def files_of(place: str, pattern: str) -> list[Path]:
    """Returns the file of a place, or those of a folder and its subfolders whose names match. Raises SourceError."""
    path = Path(place)
    if not path.exists():
        raise SourceError(f"{place} does not exist.")
    if not path.is_dir():
        return [path]
    found = []
    for file in sorted(path.rglob("*")):
        if re.fullmatch(pattern, file.name, re.IGNORECASE) and file.is_file():
            found.append(file)
            if len(found) > MOST_FILES:
                raise SourceError(f"{place} has more than {MOST_FILES:,} files.")
    if not found:
        raise SourceError(f"{place} has no file that can be read as this source.")
    return found


def read_yaml(text: str, path: Path) -> list[Any]:
    """Returns the documents of YAML or JSON, in which all scalars are texts. Raises SourceError that names the line."""
    try:
        if text.lstrip()[:1] in {"{", "["}:
            try:
                return [_checked(json.loads(text), path)]
            except ValueError:
                pass  # it may be YAML that begins in the same way
        _measure(text, path)
        return [_checked(document, path) for document in yaml.load_all(text, Loader=_LOADER) if document not in (None, "")]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}: " if mark else ""
        hint = " It looks like a template of Helm: render it first, with helm template." if "{{" in text else ""
        raise SourceError(f"{path} is not valid YAML: {where}{error.problem or error.context}.{hint}") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise SourceError(f"{path} is not valid YAML: {str(error).splitlines()[0][:200]}.") from error


def _measure(text: str, path: Path) -> None:
    """Raises SourceError for documents that go too deep: the loader would need as much of the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise SourceError(f"{path} has too many or too deeply nested values.")


def _checked(value: Any, path: Path) -> Any:
    """Returns a value with all scalars as texts. Raises SourceError if it has too many values, or goes too deep."""
    left = [MOST_VALUES]

    def copy(inner: Any, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > DEEPEST:
            raise SourceError(f"{path} has too many or too deeply nested values, perhaps by aliases that name each other.")
        if isinstance(inner, Mapping):
            return {text_of(key): copy(item, depth + 1) for key, item in inner.items()}
        if isinstance(inner, list):
            return [copy(item, depth + 1) for item in inner]
        return text_of(inner)

    return copy(value, 0)


def text_of(value: Any) -> str:
    """Returns a scalar of JSON as YAML writes it."""
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def is_true(text: Any) -> bool:
    """Whether a scalar means yes."""
    return str(text).strip().lower() in {"true", "yes", "on", "1"}


def whole(text: Any) -> int | None:
    """Returns a whole number that is not negative; None for any other value."""
    clean = str(text).strip()
    return int(clean) if re.fullmatch(r"[0-9]{1,12}", clean) else None


def mapping(value: Any) -> dict[str, Any]:
    """Returns an object; an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def elements(value: Any) -> list[Any]:
    """Returns a list; an empty one for any other value."""
    return value if isinstance(value, list) else []


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yields the scalars of a document by their paths: `spec.containers[0].image`."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from flat(inner, f"{name}[{place}]")
    else:
        yield name, text_of(value)


def raw_of(value: Any) -> str:
    """Returns a document as YAML for people, shortened."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120).strip()
    return text if len(text) <= LONGEST_RAW else f"{text[:LONGEST_RAW]}…"


class Fields:
    """The fields of an entry, of which each must be explained: those that are not taken are dropped with a reason at the end."""

    def __init__(self, values: Mapping[str, str], draft: Draft) -> None:
        self._left, self._draft = dict(values), draft

    def get(self, name: str) -> str:
        """Returns a value without taking it; "" if there is none."""
        return self._left.get(name, "")

    def take(self, name: str) -> str:
        """Returns a value, which the caller explains; "" if there is none."""
        return self._left.pop(name, "")

    def below(self, prefix: str) -> dict[str, str]:
        """Takes all fields whose names begin with a prefix."""
        found = {name: value for name, value in self._left.items() if name.startswith(prefix)}
        for name in found:
            del self._left[name]
        return found

    def mapped(self, name: str, target: str, reason: str = "") -> str:
        """Takes a value, and notes which field of the job has it. Returns it."""
        value = self.take(name)
        if value:
            self._draft.mapped(name, value, target, reason)
        return value

    def drop(self, reasons: Mapping[str, str], otherwise: str) -> None:
        """Drops all that is left. `reasons` are by regular expressions of names."""
        for name, value in self._left.items():
            reason = next((words for pattern, words in reasons.items() if re.search(pattern, name)), otherwise)
            self._draft.dropped(name, value, reason)
        self._left = {}
