"""What people read keeps the wording rules of CONTRIBUTING: no riddles, one term for one thing, no glued plurals."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.unit.project import wording
from tests.unit.project.wording import ANYWHERE, GERMAN, INTERFACE, Rule, Text

# Files whose texts do not keep the rules yet.
WAITING = frozenset(
    {
        "app/config.py",
        "docs/reference/settings.md",
        "app/accounts/service.py",
        "app/accounts/tokens.py",
        "app/api/audit/schemas.py",
        "app/api/body.py",
        "app/api/etag.py",
        "app/api/jobs/routes.py",
        "app/api/outbox/schemas.py",
        "app/bulk/service.py",
        "app/errors.py",
        "app/exchange/file.py",
        "app/execution/runs.py",
        "app/jobs/schema.py",
        "app/jobtemplates/derived.py",
        "app/jobtemplates/service.py",
        "app/jobtemplates/sharing.py",
        "app/queue/updates.py",
        "app/sandbox/template_call.py",
        "app/scheduling/calendars.py",
        "app/strength.py",
        "app/triggers/once.py",
        "app/validation/dynamic.py",
        "app/validation/locale/en.po",
        "app/validation/names.py",
        "app/validation/patterns.py",
        "app/validation/schema.py",
        "app/validation/storable.py",
        "app/validation/strict_json.py",
        "docs/de/how-to/find-what-broke.md",
        "docs/de/how-to/manage-templates.md",
        "docs/de/how-to/many-jobs.md",
        "docs/how-to/find-what-broke.md",
        "docs/how-to/jobs-in-git.md",
        "docs/how-to/manage-templates.md",
        "docs/how-to/many-jobs.md",
        "docs/how-to/operate.md",
        "docs/how-to/schedules.md",
        "docs/how-to/secure.md",
        "docs/reference/dynamic-values.md",
        "docs/reference/forms.md",
        "docs/reference/permissions.md",
        "docs/reference/rest.md",
        "docs/tutorial/write-a-template.md",
        "templates_lib/ages.py",
        "templates_lib/backup/README.md",
        "templates_lib/backup/archive.py",
        "templates_lib/backup/template.py",
        "templates_lib/connections/file_store.py",
        "templates_lib/connections/kind.py",
        "templates_lib/connections/mongodb.py",
        "templates_lib/connections/sql.py",
        "templates_lib/connections/sqlite.py",
        "templates_lib/data_export/README.md",
        "templates_lib/data_export/template.py",
        "templates_lib/database_cleanup/README.md",
        "templates_lib/file_cleanup/template.py",
        "templates_lib/http_health_check/README.md",
        "templates_lib/http_health_check/template.py",
        "templates_lib/message_command/README.md",
        "templates_lib/message_command/template.py",
        "templates_lib/report_generation/template.py",
        "templates_lib/service_call/template.py",
        "templates_lib/ticket_cleanup/README.md",
        "templates_lib/webhook_trigger/template.py",
        "web/charts.py",
        "web/filters/states.py",
        "web/forms/hints.py",
        "web/forms/locale/de.po",
        "web/forms/locale/en.po",
        "web/locale/de.po",
        "web/templates/account.html",
        "web/templates/backfill.html",
        "web/templates/base.html",
        "web/templates/bulk.html",
        "web/templates/calendar.html",
        "web/templates/calendar_form.html",
        "web/templates/compare.html",
        "web/templates/connection_form.html",
        "web/templates/execution.html",
        "web/templates/gallery.html",
        "web/templates/help.html",
        "web/templates/import.html",
        "web/templates/job.html",
        "web/templates/job_form.html",
        "web/templates/job_merge.html",
        "web/templates/jobs.html",
        "web/templates/macros.html",
        "web/templates/maintenance.html",
        "web/templates/partials/dashboard.html",
        "web/templates/partials/job_row.html",
        "web/templates/pause.html",
        "web/templates/run_with.html",
        "web/templates/second_factor.html",
        "web/templates/system.html",
        "web/templates/template_draft.html",
        "web/templates/template_impact.html",
        "web/templates/template_import.html",
        "web/templates/template_move.html",
        "web/templates/template_standing.html",
        "web/templates/token.html",
        "web/templates/token_new.html",
        "web/templates/user.html",
        "web/templates/user_new.html",
        "web/views/accounts.py",
        "web/views/calendars.py",
        "web/views/connections.py",
        "web/views/exchange.py",
        "web/views/job_form.py",
        "web/views/job_list.py",
        "web/views/jobs/actions.py",
        "web/views/jobs/edit.py",
        "web/views/palette.py",
        "web/views/preview.py",
        "web/views/template_admin.py",
    }
)


def _report(texts: Iterable[Text], rules: list[Rule]) -> list[str]:
    return [
        f"{text.file}:{text.line}: {problem}  in: {text.words.strip()[:160]}"
        for text in dict.fromkeys(texts)
        if text.file not in WAITING
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


def test_a_number_beside_a_plural_has_a_sentence_for_one() -> None:
    texts = [text for text, many in wording.sentences() if not many]
    assert [
        f"{text.file}:{text.line}: {problem}"
        for text in dict.fromkeys(texts)
        if text.file not in WAITING
        for problem in wording.glued(text.words)
    ] == []


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
    ],
)
def test_a_bad_habit_is_found_in_german(bad: str) -> None:
    assert wording.problems(bad, GERMAN)


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
    assert {"app/cli/user.py", "app/config.py", "app/api/jobs/schemas.py"} <= {text.file for text in wording.of_constants()}
    assert {"README.md", "SECURITY.md", "CHANGELOG.md", "docs/reference/cli.md", "templates_lib/backup/README.md"} <= {
        text.file for text in wording.of_documents()
    }
    assert {"web/locale/de.po", "app/triggers/locale/de.po", "docs/de/how-to/operate.md"} <= {text.file for text in wording.in_german()}
