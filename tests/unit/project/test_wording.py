"""What people read keeps the wording rules of CONTRIBUTING: no riddles, one term for one thing, no glued plurals."""

from __future__ import annotations

import ast
from collections.abc import Iterable

import pytest

from tests.unit.project import wording
from tests.unit.project.sources import ROOT, sources
from tests.unit.project.wording import ANYWHERE, GERMAN, INTERFACE, Rule, Text

# Texts that break a rule on purpose, with the reason.
ARGUED = {
    (
        "app/api/jobs/routes.py",
        "Job created successfully",
    ): "the message that clients of POST /api/admin/scheduler-jobs have always received",
}


def _report(texts: Iterable[Text], rules: list[Rule]) -> list[str]:
    return [
        f"{text.file}:{text.line}: {problem}  in: {text.words.strip()[:160]}"
        for text in dict.fromkeys(texts)
        if (text.file, text.words) not in ARGUED
        for problem in wording.problems(text.words, rules)
    ]


def test_sentences_of_the_interface() -> None:
    texts = [text for text, _ in wording.sentences()]
    assert len(texts) > 1500
    assert _report([*texts, *wording.of_english_catalogues()], ANYWHERE + INTERFACE) == []


def test_texts_in_code_which_include_the_command_line_rest_and_settings() -> None:
    assert _report(wording.of_constants(), ANYWHERE) == []


def test_documents() -> None:
    assert _report(wording.of_documents(), ANYWHERE) == []


def test_german() -> None:
    assert _report(wording.in_german(), GERMAN) == []


def test_german_help_names_buttons_and_fields_as_pages_do() -> None:
    said = {wording.with_gaps(text.words) for text in wording.in_german() if text.file.endswith(".po")}
    labels = [(text.file, label) for text in wording.in_german() if text.file.endswith(".md") for label in wording.labels(text.words)]
    assert len(labels) > 40
    assert [f"{file}: {label}" for file, label in labels if not any(wording.with_gaps(label) in words for words in said)] == []


def test_a_label_is_found_and_its_values_are_gaps() -> None:
    assert wording.labels("**Name.** Wählen Sie *Jetzt starten* oder *02:17 verwenden*, nicht `*`.") == ["Jetzt starten", "02:17 verwenden"]
    assert wording.with_gaps("%(time)s verwenden") == wording.with_gaps("02:17 verwenden") == wording.with_gaps("{time:%H:%M} verwenden")


def test_results_and_logs_have_no_fixed_plurals() -> None:
    assert [
        f"{path.relative_to(ROOT)}:{line}: {problem}"
        for path in sources("app", "web", "templates_lib")
        for line, problem in wording.fixed_plurals(ast.parse(path.read_text("utf-8")))
    ] == []


def test_a_number_beside_a_plural_has_a_sentence_for_one() -> None:
    texts = [text for text, many in wording.sentences() if not many]
    assert [f"{text.file}:{text.line}: {problem}" for text in dict.fromkeys(texts) for problem in wording.glued(text.words)] == []


@pytest.mark.parametrize(
    "bad",
    [
        "3 job(s) deleted",
        "Please try again",
        "The job was saved successfully",
        "is no JSON",
        "Leave it out to use the default",
        "26.6 s in the middle",
        "38.8 s for 95 of 100",
        "Telling people failed; it is tried again",
        "timeout, retries: good as they are",
        "Old sessions is in the registry",
        "Parameters cannot be brought up",
        "Debug and graver",
        "What is other in this run than in the one before",
        "Whoever looks for the job's runs reads it.",
        "Days that successes are kept; 0: for ever",
        "Manual runs an hour a user",
        "Requests a minute of one network that prove nobody",
        "its worker fell silent",
    ],
)
def test_a_bad_habit_is_found_in_any_text(bad: str) -> None:
    assert wording.problems(bad, ANYWHERE)


@pytest.mark.parametrize(
    "bad",
    [
        "Leave",
        "lives",
        "May",
        "Blackouts",
        "Runs now",
        "None: any public address.",
        "Make token",
        "Untag",
        "Drop draft",
        "Kind of schedule",
    ],
)
def test_a_second_term_for_one_thing_is_found_in_the_interface(bad: str) -> None:
    assert wording.problems(bad, INTERFACE)


@pytest.mark.parametrize(
    "bad",
    [
        "freiwillig",
        "26 s in der Mitte",
        "Fassung 3",
        "Verlassen",
        "Bitte warten",
        "Hast du dein Passwort?",
        "3 Job(s)",
        "ist kein JSON",
        "lebt",
        "Vorgaben stehen nicht in der Datei",
        "Timeout je Aufruf",
        "Aktiv",
        "Erneut ausführen",
        "Kein Knoten beginnt einen Lauf",
        "Zuletzt benutzt",
        "Verbindung {name} erstellt",
        "Alle zeigen",
        "Leer lassen für Google Cloud.",
        "Ziehen Sie ihn um",
        "Format des Logs",
        "Name in der Mail",
    ],
)
def test_a_bad_habit_is_found_in_german(bad: str) -> None:
    assert wording.problems(bad, GERMAN)


@pytest.mark.parametrize("code", ["f'Deleted {n:,} rows'", "f'{len(rows)} more files'", "log.info('%s documents match', n)"])
def test_a_fixed_plural_in_a_result_or_a_log_is_found(code: str) -> None:
    assert list(wording.fixed_plurals(ast.parse(code)))


@pytest.mark.parametrize("code", ["f'the first {MOST} rows'", "f'{name} runs'", "f'Deleted {amount(n, \"row\")}'"])
def test_limits_and_verbs_are_no_fixed_plurals(code: str) -> None:
    assert list(wording.fixed_plurals(ast.parse(code))) == []


@pytest.mark.parametrize("bad", ["The last %(bars)s executions", "{count} jobs", "{total:,} waiting requests"])
def test_a_number_beside_a_fixed_plural_is_found(bad: str) -> None:
    assert wording.glued(bad)


@pytest.mark.parametrize(
    "good",
    [
        "must have at least {least} characters",
        "There is no user 'ada'",
        "The pause is no longer possible",
        "Leave empty to use the time zone of your browser.",
        "{last} runs backwards",
        "{job} of {name}",
        "Run again",
    ],
)
def test_plain_texts_pass(good: str) -> None:
    assert wording.problems(good, ANYWHERE + INTERFACE) + wording.glued(good) == []


def test_every_place_is_read() -> None:
    """A text of each place is among those that are checked."""
    assert {"web/templates/base.html", "app/jobs/schema.py", "templates_lib/backup/template.py"} <= {
        text.file for text, _ in wording.sentences()
    }
    assert {"app/cli/user.py", "app/config/server.py", "app/api/jobs/schemas.py"} <= {text.file for text in wording.of_constants()}
    assert {"README.md", "SECURITY.md", "CHANGELOG.md", "docs/reference/cli.md", "templates_lib/backup/README.md"} <= {
        text.file for text in wording.of_documents()
    }
    assert {"web/locale/de.po", "app/triggers/locale/de.po", "docs/de/how-to/operate.md"} <= {text.file for text in wording.in_german()}


def test_every_argued_text_still_stands() -> None:
    texts = {(text.file, text.words) for text in wording.of_constants()}
    assert set(ARGUED) <= texts
