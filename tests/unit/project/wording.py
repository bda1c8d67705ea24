"""Finds habits that make texts hard to read. The rules are those of CONTRIBUTING, "Wording"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po
from jinja2.ext import babel_extract

from scripts.messages import said_in_code
from tests.unit.project.sources import ROOT, sources


@dataclass(frozen=True)
class Rule:
    """A habit: how to find it, and what to write instead."""

    pattern: re.Pattern[str]
    instead: str


@dataclass(frozen=True)
class Text:
    """A text that people read, and where it stands."""

    file: str
    words: str
    line: int = 0


def _rules(habits: dict[str, str]) -> list[Rule]:
    return [Rule(re.compile(pattern, re.IGNORECASE), instead) for pattern, instead in habits.items()]


# In every text: pages, errors, command line, documents.
ANYWHERE = _rules(
    {
        r"\w\(e?s\)(?!\w)": "a sentence for one and one for many (ngettext, say_many)",
        r"\bplease\b": "leave it out",
        r"\boops\b": "say what is wrong",
        r"\bsuccessfully\b": "say the result: Saved, Job created",
        r"(?<!there )\b(is|are) no (?!longer|more\b)": "is not a …, is not valid …",
        r"\bthat is none\b|\band is none\b": "is not a …",
        r"\b(leave|left) (it )?out to\b|\bleave it out\b": "Leave empty to …",
        r"\bin the middle\b(?! of)|\bthe middle of\b|\bof 100\b": "median; 95% within",
        r"\btelling people\b|\bnobody was told\b|\bnobody is told\b|\bwho is told\b": "notification",
        r"\bneeds you\b": "Needs attention",
        r"\bwithout an end\b": "never expires, no end",
        r"\bgood as they are\b": "The defaults suit most jobs.",
        r"\bis in the registry\b": "Job created",
        r"\bbrought up\b|\bbring up\b": "converted, migrated",
        r"\bgraver\b": "and above",
        r"\bwhat is other\b|\bare other\b": "what differs",
        r"\bgoes? by and\b|\bdue times go by\b": "scheduled runs are skipped",
        r"\bwho(so)?ever\b": "people who, anyone who",
        r"\bminded by\b": "managed by",
        r"\bfor ever\b": "forever",
        r"\bfor so long\b|\bso much later\b|\bafter so many\b|\bso many (hours|minutes|days|seconds|documents|files)\b": "say the number or the unit",
        r"\b(runs|requests) an? (hour|minute|second|day|user|account|node)\b|\b(record|mail|file|row|one|job) an? (job|user|account|node|template|recipient)\b"
        r"|\ban? (hour|minute|day) an? (user|account|node)\b": "per …",
        r"\bvouche[sd]\b": "trusts, trusted",
        r"\b(fell|falls|worker is) silent\b": "does not respond, offline",
        r"\btells? of\b": "explains, describes",
        r"\btill\b": "until",
        r"\bmended\b": "Fixed",
        r"\bpresent password\b": "Current password",
        r"\bis there; \w": "Connection created",
        r"\bever(y|body) (whom|reads)\b": "is shown to everyone",
        r"\bprove nobody\b|\bproves nobody\b": "unauthenticated",
        r"\bcan it not be\b|\bdo it not\b": "not before the verb",
        r"\blet that be\b": "allow",
        r"\bmeans nothing\b": "is not valid here",
        r"\bkinds? of jobs?\b": "template",
        r"\bbegins? then\b|\bbegan then\b": "started before",
        r"\bkeeps all$": "ok",
        r"\bthat are there as they are\b": "Do not change existing …",
    }
)
# In texts of the interface alone, where one word stands for one thing.
INTERFACE = _rules(
    {
        r"^leave( them)?$": "Cancel",
        r"^lives$": "online",
        r"^silent$|^silent;": "offline",
        r"^may$": "Scopes",
        r"^blackouts$": "Blackout calendars",
        r"^runs now$": "Running now",
        r"^comes next$": "Next run",
        r"^(not before|not from)$": "Start, End",
        r"^none: |[.:] none: ": "Leave empty to …",
        r"^make (?!sure)\w+$": "Create …",
        r"^untag$": "Remove tag",
        r"^drop\b": "Discard, delete",
        r"^it$": "name it",
        r"^\{name\} is (there|in the registry)\b": "{name} created",
        r"\bdo not (get|keep) what\b": "say it directly",
        r"\bkind of\b": "type of",
        r"\bfor good\b": "permanently",
    }
)
GERMAN = _rules(
    {
        r"\bfreiwillig\b": "optional",
        r"in der Mitte\b(?! de)|\bdie Mitte\b|\bvon 100\b": "Median; 95 % innerhalb von",
        r"\bFassung": "Version",
        r"^Verlassen$": "Abbrechen",
        r"\bbitte\b": "leave it out",
        r"\berfolgreich (gespeichert|angelegt|gelöscht|geändert)": "Gespeichert",
        r"\b(du|dein|deine|deinen|deinem|dir|dich)\b": "Sie, Ihr",
        r"\w\((e|en|n|s|er)\)": "a sentence for one and one for many",
        r"\bist kein JSON\b": "ist kein gültiges JSON",
        r"\bgraver\b|\bund ernster\b": "und höher",
        r"\bwer auch immer\b": "wer, alle die",
        r"\b(lebt|schweigt|verstummt)\b": "online, offline",
        r"\bbraucht Sie\b|\bBraucht Ihre Aufmerksamkeit\b": "Handlungsbedarf",
        r"\bJetziges\b": "Aktuelles",
        # two words for one thing
        r"\bVorgaben?\b": "Standardwert",
        r"\bResultate?\b": "Ergebnis",
        r"\bTimeouts?\b": "Zeitlimit (the setting), Zeitüberschreitung (the outcome)",
        r"\bZeitlimit überschritten\b(?! haben| hat)": "Zeitüberschreitung",
        r"\b(in)?aktiv\b": "eingeschaltet, ausgeschaltet",
        r"\b(erneut|jetzt) aus(zu)?führen\b": "erneut starten, jetzt starten",
        r"\b(ein Lauf|Läufe|ein Job|Jobs) beginn(t|en)\b(?! mit)|\bbeginnt (ein|kein|keinen|einen) (Lauf|Job)\b": "starten",
        r"\b(benutz(en|t)|nutzen|genutzt)\b": "verwenden",
        r"\berstell(en|t)\b": "anlegen",
        r"^[^.]* zeigen$": "anzeigen",
        r"\bLeer lassen\b": "Lassen Sie das Feld leer, um …",
        r"\bumzieh|\bumzuzieh|\bzieh(t|en) um\b|\bziehen Sie \w+ um\b|\bUmz[uü]g": "umstellen",
        r"\bLogs?\b": "Protokoll",
        r"(?<!E-)\bMails?\b": "E-Mail",
        r"\bMaschinen?\b|\bRechnername": "Rechner, Host, Hostname",
        r"\bKopfzeilen?\b": "Header",
        r"\b(Knopf|Button)\b": "Schaltfläche",
        r"\b(unterschr[ie]+b|Unterschrift)": "signieren",
        r"\bNotfallcode|\bVerbindungszeichenkette|\bFolgeaktion": "Wiederherstellungscode, Verbindungszeichenfolge, Folgeaufgabe",
    }
)
# A number beside a plural, in a text that has no form for one. Limits (most, least) are never 1.
COUNTED = re.compile(
    r"(?:%\((?!most|least)\w+\)s|\{(?!most|least)\w+(?::[^}]*)?\}) "
    r"(?:(?:more|other|waiting|failed|broken|scheduled|queued|last|past) )?(jobs|runs(?! backwards| on)|executions|lines|fields|entries|errors|nodes|days|hours|minutes|seconds|files|documents|requests|tags|versions|changes|others)\b"
)

# The same in other texts of Python code, in which a value is a NUL.
FIXED = re.compile(
    r"\0 (?:more )?(jobs|executions|entries|nodes|files|documents|requests|rows|items|mails|tickets|collections|batches|recipients|checks|records"
    r"|connections|problems|warnings|sections|stages|attempts|programs)\b(?! (?:have|are)\b)"
)


def problems(text: str, rules: Iterable[Rule]) -> list[str]:
    """Returns a line for each habit in a text, with what to write instead."""
    return [f"{match[0]!r} → {rule.instead}" for rule in rules if (match := rule.pattern.search(text))]


def glued(sentence: str) -> list[str]:
    """Returns a line if a text without plural forms has a number beside a plural."""
    match = COUNTED.search(sentence)
    return [f"{match[0]!r} → a sentence for one and one for many (ngettext, say_many)"] if match else []


def fixed_plurals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields the line of each text of Python code in which a number stands beside a fixed plural, with what to write instead.

    These texts stay English. Constants in capitals are limits, and never 1.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            text = "".join(_shown(part) for part in node.values)
            if match := FIXED.search(text):
                yield node.lineno, f"{match[0]!r} → amount(…, {match[1]!r} without its s)"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (match := FIXED.search(node.value.replace("%s", "\0"))):
            yield node.lineno, f"{match[0]!r} → %s with amount(…, {match[1]!r} without its s)"


def _shown(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    names = [node.id for node in ast.walk(part) if isinstance(node, ast.Name) and node.id != "len"]
    return "LIMIT" if names and all(name.isupper() for name in names) else "\0"


def labels(line: str) -> list[str]:
    """Returns what a line of a document names in *italics*: buttons, fields and notices of pages."""
    return re.findall(r"(?<![*\w`])\*(?![*\s`])([^*`]+)(?<!\s)\*(?!\*)", line)


def with_gaps(text: str) -> str:
    """Returns a text with a gap for each value in it."""
    return re.sub(r"%\(\w+\)s|\{[^}]*\}|\d+(?::\d+)?", "…", text)


# -- where texts stand -----------------------------------------------------------------------------------------------


@cache
def sentences() -> tuple[tuple[Text, bool], ...]:
    """The sentences of page templates and of Python code, and whether each has plural forms."""
    return tuple(dict.fromkeys((*_of_pages(), *_of_code())))


def _of_pages() -> Iterator[tuple[Text, bool]]:
    """The sentences of page templates, and whether each has plural forms."""
    for path in sorted((ROOT / "web").rglob("*.html")):
        with path.open("rb") as file:
            for line, name, message, _ in babel_extract(file, ("_", "ngettext"), [], {}):
                many = name == "ngettext"
                for words in message if isinstance(message, tuple) else (message,):
                    if isinstance(words, str):
                        yield Text(_name(path), words, line), many


def _of_code() -> Iterator[tuple[Text, bool]]:
    """The sentences that Python code says to people, and whether each has plural forms."""
    for path in sources("app", "web", "templates_lib"):
        for key in said_in_code(path):
            for words in key if isinstance(key, tuple) else (key,):
                yield Text(_name(path), words), isinstance(key, tuple)


def of_constants() -> Iterator[Text]:
    """Every text in Python code that has a space; docstrings only where they are help or descriptions of REST."""
    for path in sources("app", "web", "templates_lib"):
        shown = _name(path).startswith(("app/cli/", "app/api/"))
        tree = _tree(path)
        docs = set() if shown else _docstrings(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value and id(node) not in docs:
                yield Text(_name(path), node.value, node.lineno)


def of_documents() -> Iterator[Text]:
    """The lines of all documents, without code. The wording rules quote what is wrong, so they are not among them."""
    for path in sorted(
        [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "clients").rglob("*.md")]
    ):
        if "de" not in path.relative_to(ROOT).parts:
            yield from _lines(path)
    for path in sorted((ROOT / "templates_lib").rglob("*.md")):
        if not path.stem.endswith(".de"):
            yield from _lines(path)


def of_english_catalogues() -> Iterator[Text]:
    """What catalogues by key say in English."""
    for path in (ROOT / "web/forms/locale/en.po", ROOT / "app/validation/locale/en.po"):
        yield from _translations(path)


def in_german() -> Iterator[Text]:
    """All that is said in German: catalogues and help."""
    for folder in ("web/locale", "app/triggers/locale", "web/forms/locale", "app/validation/locale"):
        yield from _translations(ROOT / folder / "de.po")
    for path in sorted((ROOT / "docs/de").rglob("*.md")):
        yield from _lines(path)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _docstrings(tree: ast.Module) -> set[int]:
    owners = (node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef))
    return {id(owner.body[0].value) for owner in owners if owner.body and isinstance(owner.body[0], ast.Expr)}


def _lines(path: Path) -> Iterator[Text]:
    code = False
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code:
            yield Text(_name(path), re.sub(r"`[^`]*`", "`…`", line), number)


def _translations(path: Path) -> Iterator[Text]:
    with path.open("rb") as file:
        for message in read_po(file):
            if message.id:
                for words in message.string if isinstance(message.string, tuple | list) else (message.string,):
                    yield Text(_name(path), str(words), message.lineno or 0)
