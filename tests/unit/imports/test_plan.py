"""The plan: every field is explained, no secret is in it, decisions are made in it, and a change of anything else is noticed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.imports.entries import Draft, Entry, EntryKind, Fate, Reading
from app.imports.fires import trigger_of, trigger_times
from app.imports.names import words_or_hash
from app.imports.plan import (
    CLOCK_CHANGES,
    JOBS_AT_CHANGES,
    PlanError,
    State,
    compared,
    decide,
    make_plan,
    read_again,
    read_plan,
    refuse_changed,
    state_of,
)
from app.imports.sources import SOURCES, SourceError, SourceOptions
from app.imports.views import as_html, as_text, summary
from app.zones import zone
from tests.builders import cron_oracle
from tests.builders.plans import NOW, plan_of
from tests.lengths import one_in

DATA = Path(__file__).parents[2] / "data/import"
CORPUS = (("user", "user"), ("system", "system"), ("more", "user"))
SECRETS = {
    "pw-in-Url9": "curl https://u:pw-in-Url9@example.com/x",
    "bearerValue1234": "curl -H 'Authorization: Bearer bearerValue1234' https://example.com/x",
    "basicSecret": "curl -u me:basicSecret https://example.com/x",
    "queryToken77": "curl 'https://example.com/x?a=1&token=queryToken77'",
    "hunter22": "/opt/x --password=hunter22",
    "hunter23": "/opt/x --api-key hunter23",
    "rootpw": "mysqldump -uroot -prootpw shop > /backup/shop.sql",
    "mongopw": "mongodump -u admin -p mongopw --db shop -o /backup/x",
    "envSecret": "DB_PASSWORD=envSecret /opt/x",
    "quoted secret": "SMTP_PASS='quoted secret' /opt/x",
    "jsonSecret": 'curl -d \'{"password": "jsonSecret"}\' https://example.com/x',
    "9b2c7d40e1f84a6b93d5c8e7f0a1b2c3": "curl https://hooks.example.com/9b2c7d40e1f84a6b93d5c8e7f0a1b2c3",
    "ghp_abcdefghijklmnop1234": "/opt/push ghp_abcdefghijklmnop1234",
    "T00000000/B00000000": "",
}


def corpus() -> list[dict[str, object]]:
    entries: list[dict[str, object]] = []
    for name, layout in CORPUS:
        options = SourceOptions(machine="web1", timezone="Europe/Berlin", own={"layout": layout, "home": "/home/app"})
        entries += make_plan(SOURCES["crontab"], str(DATA / f"{name}.crontab"), options, NOW)["entries"]
    return entries


def test_real_shaped_lines_are_mapped_and_explained() -> None:
    """Of more than 300 lines, 98 % need no decision but the approval of a secret. All fields of all lines have a fate with its words."""
    entries = corpus()
    assert len(entries) >= 300
    mapped = 0
    for entry in entries:
        assert entry["job"], entry
        fields, decisions = entry["fields"], entry["decisions"]
        assert isinstance(fields, list)
        assert isinstance(decisions, list)
        names = {field["name"] for field in fields}
        assert names & {"times", "minute"}, entry
        assert "command" in names, entry
        assert all(field["target"] if field["fate"] == Fate.MAPPED else field["reason"] for field in fields), fields
        waits = any(field["fate"] == Fate.WAITS for field in fields)
        assert not waits or decisions, entry
        mapped += not waits and all("approve" in decision["choices"] for decision in decisions)
    assert mapped / len(entries) >= 0.98, mapped


def test_no_line_of_the_corpus_has_a_wrong_first_time_in_400_days() -> None:
    for entry in one_in(7, corpus()):
        job, fires = entry["job"], entry["fires"]
        assert isinstance(job, dict)
        if job["schedule"]["type"] == "manual":
            continue
        assert isinstance(fires, dict)
        raw = str(entry["raw"])
        times = " ".join(raw.split()[:5]) if not raw.startswith("@") else job["schedule"]["expression"]
        line = cron_oracle.parse(times)
        assert line is not None, raw
        found = cron_oracle.first(line, job["schedule"]["timezone"], NOW, 400)
        first = datetime.fromisoformat(fires["first"]) if fires["first"] else None
        assert first == found or (found is None and first is not None and first > NOW + timedelta(days=399)), raw
        assert zone(job["schedule"]["timezone"])


@pytest.mark.parametrize("secret", [secret for secret, command in SECRETS.items() if command])
def test_no_secret_is_in_a_plan(tmp_path: Path, secret: str) -> None:
    text = f"0 1 * * * {SECRETS[secret]}\n# {SECRETS[secret]}\n#0 2 * * * {SECRETS[secret]}\n77 * * * * {SECRETS[secret]}\n"
    plan = plan_of(tmp_path, text)
    for view in (json.dumps(plan, ensure_ascii=False), as_text(plan), as_html(plan)):
        assert secret not in view
    assert plan["entries"][0]["secrets"]
    assert plan["entries"][0]["decisions"], "somebody must know of it"


def test_variables_of_a_crontab_that_are_secret_are_not_in_a_plan(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "SMTP_PASSWORD=correct-horse\nURL=https://u:battery@example.com\n0 1 * * * /a\n0 2 * * * /b | /c\n")
    assert not {"correct-horse", "battery"} & set(json.dumps(plan).replace('"', " ").replace("@", " ").replace(":", " ").split())


def test_common_words_are_no_secrets(tmp_path: Path) -> None:
    text = "0 1 * * * /usr/local/lib/some-long-name-2024/bin/run-the-nightly-report-for-customers --output /srv/2024-reports/a\n"
    assert plan_of(tmp_path, text)["entries"][0]["secrets"] == []


def test_a_plan_is_read_back_and_a_change_beside_its_decisions_is_noticed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "0 1 * * * /a | /b\n0 2 * * * /c\n")
    assert [state_of(entry) for entry in plan["entries"]] == [State.OPEN, State.READY]
    decide(plan, [f"{plan['entries'][0]['id']}=script"])
    assert read_plan(json.dumps(plan)) == plan
    assert summary(plan) == "2 ready."
    plan["entries"][0]["decisions"][0]["chosen"] = "something"
    with pytest.raises(PlanError, match="is not one of the choices script, leave-out"):
        read_plan(json.dumps(plan))
    plan["entries"][0]["decisions"][0]["chosen"] = "leave-out"
    assert [state_of(entry) for entry in read_plan(json.dumps(plan))["entries"]] == [State.LEFT_OUT, State.READY]
    plan["entries"][1]["job"]["parameters"]["program"] = "/evil"
    with pytest.raises(PlanError, match="was changed by hand"):
        read_plan(json.dumps(plan))
    with pytest.raises(PlanError, match="is not a plan"):
        read_plan("[]")


def test_wrong_decisions_are_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "0 1 * * * /a | /b\n")
    for decision in ("x", "unknown=script", "all=nothing"):
        with pytest.raises(PlanError):
            decide(plan, [decision])


def test_a_source_that_has_changed_is_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "0 1 * * * /a\n")
    refuse_changed(plan, read_again(plan, SOURCES["crontab"]))
    (tmp_path / "tab").write_text("0 2 * * * /a\n")
    with pytest.raises(PlanError, match="has changed since the plan was made"):
        refuse_changed(plan, read_again(plan, SOURCES["crontab"]))


AT_CHANGES = "The times differ: only the old scheduler starts at 2027-03-28T01:00:00+00:00."
# Of these lines, the second and the third lose the `*` with which cron follows the clock; the third also needs a script.
CHANGED = "0 1 * * * /a\n5-2,*/10 2 * * * /b\n5-2,*/10 2 * * * /c | /d\n"


def test_differences_at_clock_changes_are_one_decision_of_the_plan(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, CHANGED)
    equal, plain, script = plan["entries"]
    (asked,) = plan["decisions"]
    assert (asked["id"], asked["entries"], set(asked["choices"])) == (CLOCK_CHANGES, 2, {"accept", "leave-out"})
    assert asked["question"].startswith(
        "2 entries have other times than the job, only in hours that a clock change skips or repeats. cron runs"
    )
    assert asked["question"].endswith(JOBS_AT_CHANGES)
    assert [entry["plan_decisions"] for entry in plan["entries"]] == [{}, {CLOCK_CHANGES: AT_CHANGES}, {CLOCK_CHANGES: AT_CHANGES}]
    assert (plain["decisions"], plain["fires"]["equal"]) == ([], False)
    assert [state_of(entry, plan) for entry in plan["entries"]] == [State.READY, State.OPEN, State.OPEN]
    for view in (as_text(plan), as_html(plan)):
        assert (view.count(asked["question"]), view.count(AT_CHANGES)) == (1, 2)

    decide(plan, [f"{CLOCK_CHANGES}=accept"])
    assert read_plan(json.dumps(plan)) == plan
    assert [state_of(entry, plan) for entry in plan["entries"]] == [State.READY, State.READY, State.OPEN]
    assert "* accept: These jobs" in as_text(plan)
    assert state_of(plain) is State.OPEN, "without the plan, its decisions count as open"
    decide(plan, [f"{script['id']}=script"])
    assert {state_of(entry, plan) for entry in (equal, plain, script)} == {State.READY}
    decide(plan, [f"{CLOCK_CHANGES}=leave-out"])
    assert summary(plan) == "1 ready, 2 left out."


def test_all_decides_for_the_plan_too_and_nothing_else_of_its_decision_can_be_changed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, CHANGED)
    with pytest.raises(PlanError, match="'accept' is not a choice of .*waits for the decision clock-changes of the whole plan"):
        decide(plan, [f"{plan['entries'][1]['id']}=accept"])
    with pytest.raises(PlanError, match="'script' is not a choice of clock-changes"):
        decide(plan, [f"{CLOCK_CHANGES}=script"])
    decide(plan, ["all=accept", "all=script"])
    assert summary(plan) == "3 ready."
    text = json.dumps(plan)
    for old, new in ((f'"{CLOCK_CHANGES}": ', '"x": '), (f'"id": "{CLOCK_CHANGES}"', '"id": "x"'), ('"entries": 2', '"entries": 0')):
        assert old in text
        with pytest.raises(PlanError, match="was changed by hand"):
            read_plan(text.replace(old, new))
    with pytest.raises(PlanError, match="was changed by hand"):
        read_plan(json.dumps({**plan, "decisions": []}))
    plan["decisions"][0]["chosen"] = "yes"
    with pytest.raises(PlanError, match="clock-changes: 'yes' is not one of the choices accept, leave-out"):
        read_plan(json.dumps(plan))
    with pytest.raises(PlanError, match="'clock-changes=accept' is not a decision"):
        decide(plan_of(tmp_path, "0 1 * * * /a\n"), [f"{CLOCK_CHANGES}=accept"])


def test_a_difference_of_the_times_at_other_hours_is_a_decision_of_its_entry() -> None:
    """Also if the times differ at a clock change as well."""
    draft = Draft(body={"schedule": {"type": "cron", "expression": "30 2 * * *", "timezone": "Europe/Berlin"}})
    trigger = trigger_of(draft.body["schedule"])

    def theirs(after: datetime, until: datetime) -> Iterator[datetime]:
        """An hour late at the change in spring; and once more in January."""
        late, more = datetime(2027, 3, 28, 1, 30, tzinfo=UTC), datetime(2027, 1, 5, 1, 31, tzinfo=UTC)
        times = {late if moment == datetime(2027, 3, 28, 1, tzinfo=UTC) else moment for moment in trigger_times(trigger, after, until)}
        yield from sorted(times | ({more} if after < more <= until else set()))

    assert compared(draft, theirs, NOW)["wrong"] == "2027-01-05T01:31:00+00:00"
    assert draft.plan_questions == {}
    assert [set(asked.choices) for asked in draft.questions] == [{"accept", "leave-out"}]


@pytest.mark.parametrize("name", SOURCES)
def test_each_source_says_what_its_scheduler_does_at_clock_changes(name: str) -> None:
    rule = SOURCES[name].at_clock_changes
    assert rule.endswith(".")
    assert "the clock skips" in rule


def test_a_step_longer_than_its_field_stays_as_cron_means_it(tmp_path: Path) -> None:
    for step in ("*/60 2", "*/90 *"):
        (entry,) = plan_of(tmp_path, f"{step} * * * /a\n")["entries"]
        assert (state_of(entry), entry["fires"]["equal"]) == (State.READY, True)
        assert entry["job"]["schedule"]["expression"] == f"{step} * * *"
        assert "cron makes 0 of" in entry["fields"][0]["reason"]


def test_an_entry_that_never_comes_and_one_at_the_start_of_the_machine_have_no_schedule(tmp_path: Path) -> None:
    never, boot = plan_of(tmp_path, "0 4 * * FRI-MON /a\n@reboot /b\n")["entries"]
    assert (state_of(never), state_of(boot)) == (State.OPEN, State.READY)
    assert "runs backwards" in never["decisions"][0]["question"]
    assert [entry["job"]["schedule"] for entry in (never, boot)] == [{"type": "manual"}] * 2


def test_an_entry_waits_for_a_template_that_is_missing(tmp_path: Path) -> None:
    (entry,) = plan_of(tmp_path, "0 4 * * * /a\n", templates={"noop"})["entries"]
    assert (state_of(entry), entry["waits_for"]) == (
        State.WAITS,
        "the template command, which is off until JOBWRIGHT_COMMAND_PROGRAMS lists programs. Then make the plan again",
    )
    assert state_of(plan_of(tmp_path, "0 4 * * * /a\n", templates={"command"})["entries"][0]) is State.READY


def test_what_is_not_utf_8_makes_no_job_with_another_command(tmp_path: Path) -> None:
    path = tmp_path / "tab"
    path.write_bytes(b"# M\xfcller\n0 1 * * * /opt/a\n0 2 * * * /opt/stra\xdfe\n")
    options = SourceOptions(machine="web1", timezone="UTC")
    plain, damaged = make_plan(SOURCES["crontab"], str(path), options, NOW)["entries"]
    assert (state_of(plain), state_of(damaged)) == (State.READY, State.INVALID)
    assert "is not UTF-8" in damaged["reason"]
    path.write_bytes(b"NAME=stra\xdfe\n0 1 * * * /opt/a\n")
    assert state_of(make_plan(SOURCES["crontab"], str(path), options, NOW)["entries"][0]) is State.INVALID


@pytest.mark.parametrize("source", ["crontab", "anacrontab", "kubernetes", "rundeck", "cronicle"])
def test_a_file_of_utf_16_is_refused_with_what_to_do(tmp_path: Path, source: str) -> None:
    path = tmp_path / "file"
    path.write_bytes("0 1 * * * /opt/a\n".encode("utf-16"))
    with pytest.raises(SourceError, match="iconv"):
        SOURCES[source].read(str(path), SourceOptions(machine="web1", timezone="UTC"))


@pytest.mark.parametrize("source", ["crontab", "anacrontab", "kubernetes", "rundeck", "cronicle", "celery-beat", "apscheduler"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, source: str) -> None:
    path = tmp_path / "pipe.py"
    os.mkfifo(path)
    with pytest.raises(SourceError):
        SOURCES[source].read(str(path), SourceOptions(machine="web1", timezone="UTC"))


def test_remarks_are_in_the_page_too(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "0 4 * * * /a\n")
    plan["remarks"] = ["<b> is left out."]
    assert "&lt;b&gt; is left out." in as_html(plan)
    assert "<b> is left out." in as_text(plan)
    assert "Europe/Berlin" in as_html(plan)


def test_the_time_zone_must_be_known(tmp_path: Path) -> None:
    path = tmp_path / "tab"
    path.write_text("0 1 * * * /a\n")
    with pytest.raises(SourceError, match="such as --zone Europe/Berlin"):
        make_plan(SOURCES["crontab"], str(path), SourceOptions(machine="web1"), NOW)
    path.write_text("CRON_TZ=Asia/Tokyo\n0 1 * * * /a\n")
    plan = make_plan(SOURCES["crontab"], str(path), SourceOptions(machine="web1"), datetime(2026, 1, 1, tzinfo=UTC))
    assert plan["entries"][0]["job"]["schedule"]["timezone"] == "Asia/Tokyo"


def test_a_repeated_entry_gets_an_id_that_no_other_entry_has() -> None:
    entries = tuple(Entry(id=entry_id, where="", kind=EntryKind.NOTE, raw="") for entry_id in ("a", "a", "a-2", "a"))
    assert [entry.id for entry in Reading(name="", digest="", entries=entries).entries] == ["a", "a-2", "a-2-2", "a-3"]


def test_names_that_differ_have_ids_that_differ() -> None:
    assert words_or_hash("shop", "clean-up", otherwise="x") == "shop-clean-up"
    pairs = [("shop", "clean-up"), ("shop-clean", "up"), ("shop", "clean.up"), ("shop", "Clean-up"), ("shop", "-clean-up"), ("", "shop")]
    ids = {words_or_hash(*pair, otherwise="x") for pair in [*pairs, ("",), ("ü",), ("a" * 300,), ("a" * 301,)]}
    assert len(ids) == len(pairs) + 4
    assert max(map(len, ids)) < 120
