"""What the branches of a union are called, so that a person can tell them apart."""

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
    """The name of one branch. `how` is `text` (as it stands), `type` (a JSON type), `with` (names of members) or `number`."""

    how: str
    text: str
    detail: str = ""

    def in_words(self, words: Words) -> str:
        """The name of the branch as the page shows it."""
        match self.how:
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
    """One name for each of the branches at `places`, all different.

    A branch has its own title, or that of what it only refers to. Without one it is called by the first of these that no other
    branch has too: a constant member, the name of its definition, its constants, what it requires, its members, its type.
    """
    known = [Branch.of(place, branches[place], resolver) for place in places]
    ways = [list(dict.fromkeys(_ways(branches[one.place], one, known))) for one in known]
    found: list[BranchName] = []
    for index, one in enumerate(known):
        others = {way for other, theirs in enumerate(ways) if other != index for way in theirs}
        name = next((way for way in ways[index] if way not in others), None)
        if name is None:
            first = ways[index][0] if ways[index] else BranchName("number", str(one.place + 1))
            name = first if first.how == "number" else BranchName(first.how, first.text, str(one.place + 1))
        elif ways[index][0].how == "title":
            name = BranchName("text", ways[index][0].text, "" if name is ways[index][0] else name.text)
        found.append(BranchName("text", name.text, name.detail) if name.how == "title" else name)
    return tuple(found)


def _ways(schema: Any, branch: Branch, all_branches: Sequence[Branch]) -> Iterator[BranchName]:
    """The names that a branch could have, the best first."""
    title = _title(schema, branch)
    if title:
        yield BranchName("title", title)
    for given in branch.tags().values():
        if len(given) <= MOST_LISTED:
            yield BranchName("text", " / ".join(shown(one) for one in given))
    if isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str) and "/" in schema["$ref"]:
        yield BranchName("text", from_name(schema["$ref"].rpartition("/")[2]))
    yield from _constants(branch)
    needed = _apart([sorted(one.required, key=list(_members(one)).index) for one in all_branches], all_branches.index(branch))
    if needed:
        yield BranchName("with", needed)
    members = _apart([list(_members(one)) for one in all_branches], all_branches.index(branch))
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
            yield BranchName("text", " / ".join(as_words(one) for one in layer["enum"]))


def _types(branch: Branch) -> Iterator[BranchName]:
    kinds = branch.kinds
    if len(kinds) != 1:
        return
    layers = [layer for layer, _ in branch.layers]
    form = next((layer["format"] for layer in layers if isinstance(layer.get("format"), str)), "")
    if form:
        yield BranchName("type", kinds[0], form)
    yield BranchName("type", kinds[0])


def _members(branch: Branch) -> dict[str, None]:
    """The members that a branch names, in its own order."""
    names = [name for layer, _ in branch.layers for name in layer.get("properties", {})]
    return dict.fromkeys([*names, *(name for layer, _ in branch.layers for name in layer.get("required", ()))])


def _apart(names: Sequence[Sequence[str]], index: int) -> str:
    """Those of the names at `index` that not all the others have too, in words."""
    others = [set(one) for place, one in enumerate(names) if place != index]
    own = [name for name in names[index] if not others or not all(name in other for other in others)]
    return ", ".join(shown(name) for name in own[:MOST_NAMED]) + (", …" if len(own) > MOST_NAMED else "")
