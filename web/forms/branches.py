"""Names of the branches of a union, so that a person can tell them apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.validation.readable import as_words, shown
from app.validation.unions import Branch
from app.validation.words import Words
from web.forms.values import from_name

MOST_NAMED = 3  # members in the name of a branch
MOST_LISTED = 3  # values of an enum in the name of a branch


@dataclass(frozen=True, slots=True)
class BranchName:
    """The name of one branch. `source` is what `text` is: `title`, `text`, `type` (a JSON type), `with` (names of members) or `number`."""

    source: str
    text: str
    detail: str = ""

    def in_words(self, words: Words) -> str:
        """Returns the name as the page shows it."""
        match self.source:
            case "type":
                name = words(f"kind.{self.text}") if self.text != "null" else words("null")
            case "with":
                name = words("branchWith", names=self.text)
            case "number":
                name = f"{words('alternative')} {self.text}"
            case _:
                name = self.text
        return f"{name} ({self.detail})" if self.detail else name


def branch_names(branches: Sequence[Any], places: Sequence[int], resolver: Any) -> tuple[BranchName, ...]:
    """Returns one name for each of the branches at `places`; no two are equal.

    A branch is called by its own title, or by the title of the schema that it only refers to. Without a title it gets the first of
    these that no other branch has: a constant member, the name of its definition, its constants, its required members, its members,
    its type.
    """
    known = [Branch.of(place, branches[place], resolver) for place in places]
    candidates = [list(dict.fromkeys(_candidates(branches[branch.place], branch, known))) for branch in known]
    names: list[BranchName] = []
    for index, branch in enumerate(known):
        own = candidates[index]
        taken = {name for other, theirs in enumerate(candidates) if other != index for name in theirs}
        name = next((candidate for candidate in own if candidate not in taken), None)
        if name is None:
            first = own[0] if own else BranchName("number", str(branch.place + 1))
            name = first if first.source == "number" else BranchName(first.source, first.text, str(branch.place + 1))
        elif own[0].source == "title":
            name = BranchName("text", own[0].text, "" if name is own[0] else name.text)
        names.append(BranchName("text", name.text, name.detail) if name.source == "title" else name)
    return tuple(names)


def _candidates(schema: Any, branch: Branch, all_branches: Sequence[Branch]) -> Iterator[BranchName]:
    """Yields the names that a branch could have; the best comes first."""
    title = _title(schema, branch)
    if title:
        yield BranchName("title", title)
    for constants in branch.tags().values():
        if len(constants) <= MOST_LISTED:
            yield BranchName("text", " / ".join(shown(constant) for constant in constants))
    if isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str) and "/" in schema["$ref"]:
        yield BranchName("text", from_name(schema["$ref"].rpartition("/")[2]))
    yield from _constants(branch)
    index = all_branches.index(branch)
    required = _own_names([sorted(each.required, key=list(_members(each)).index) for each in all_branches], index)
    if required:
        yield BranchName("with", required)
    members = _own_names([list(_members(each)) for each in all_branches], index)
    if members:
        yield BranchName("with", members)
    yield from _types(branch)


def _title(schema: Any, branch: Branch) -> str:
    if isinstance(schema, Mapping) and schema.get("title"):
        return str(schema["title"])
    if not isinstance(schema, Mapping) or not set(schema) <= {"$ref", "description", "$comment"}:
        return ""
    return next((str(layer["title"]) for layer, _ in branch.layers if layer.get("title")), "")


def _constants(branch: Branch) -> Iterator[BranchName]:
    for layer, _ in branch.layers:
        if "const" in layer:
            yield BranchName("text", shown(layer["const"]))
        elif isinstance(layer.get("enum"), list) and len(layer["enum"]) <= MOST_LISTED:
            yield BranchName("text", " / ".join(as_words(value) for value in layer["enum"]))


def _types(branch: Branch) -> Iterator[BranchName]:
    json_types = branch.kinds
    if len(json_types) != 1:
        return
    layers = [layer for layer, _ in branch.layers]
    format_name = next((layer["format"] for layer in layers if isinstance(layer.get("format"), str)), "")
    if format_name:
        yield BranchName("type", json_types[0], format_name)
    yield BranchName("type", json_types[0])


def _members(branch: Branch) -> dict[str, None]:
    """Returns the members that a branch names, in its own order."""
    names = [name for layer, _ in branch.layers for name in layer.get("properties", {})]
    return dict.fromkeys([*names, *(name for layer, _ in branch.layers for name in layer.get("required", ()))])


def _own_names(names: Sequence[Sequence[str]], index: int) -> str:
    """Returns in words the names at `index` that at least one of the other branches lacks."""
    others = [set(each) for place, each in enumerate(names) if place != index]
    own = [name for name in names[index] if not others or not all(name in other for other in others)]
    return ", ".join(shown(name) for name in own[:MOST_NAMED]) + (", …" if len(own) > MOST_NAMED else "")
