"""Timers of systemd: what becomes of each setting, of instances, drop-ins, command lines and intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.imports.plan import Plan, State, make_plan, state_of
from app.imports.sources import SOURCES, SourceError, SourceOptions
from app.imports.systemd_calendar import SystemdRefused
from app.imports.systemd_units import Unit, read_exec, unescape, words
from tests.builders.foreign import systemd as corpus
from tests.builders.foreign.checks import check_corpus
from tests.builders.plans import NOW


def plan_of(folder: Path, *, zone: str = "Europe/Berlin", **own: str) -> Plan:
    options = SourceOptions(machine="web1", timezone=zone, own={"root": str(folder), **own})
    return make_plan(SOURCES["systemd"], str(folder), options, NOW)


def units(folder: Path, timer: str, service: str, name: str = "a") -> Any:
    """The entry of a timer with the lines of its sections."""
    (folder / f"{name}.timer").write_text(f"[Timer]\n{timer}\n[Install]\nWantedBy=timers.target\n")
    (folder / f"{name}.service").write_text(f"[Service]\n{service}\n")
    return plan_of(folder)["entries"][0]


def test_two_hundred_timers(tmp_path: Path) -> None:
    check_corpus(plan_of(corpus.write(tmp_path / "system")), 200)


def test_a_timer_becomes_a_job(tmp_path: Path) -> None:
    entry = units(
        tmp_path,
        "OnCalendar=Mon..Fri 08:30\nPersistent=true\nRandomizedDelaySec=10min\nAccuracySec=1h\nWakeSystem=true",
        "Type=oneshot\nUser=shop\nWorkingDirectory=/srv/shop\nEnvironment=A=1 \"B=x y\"\nTimeoutStartSec=2min\nExecStart=/opt/run  --a 'b c' $A ${B} $$x 100%%",
    )
    job = entry["job"]
    assert job["schedule"] == {"type": "cron", "expression": "30 8 * * 1-5", "timezone": "Europe/Berlin", "jitter_seconds": 600}
    assert (job["misfire"], job["timeout_seconds"]) == ({"policy": "once"}, 120)
    assert job["parameters"]["arguments"] == ["--a", "b c", "1", "x y", "$x", "100%"]
    assert (job["parameters"]["program"], job["parameters"]["folder"]) == ("/opt/run", "/srv/shop")
    assert job["parameters"]["environment"] == {"A": "1", "B": "x y"}
    assert (entry["disable"], entry["enable"]) == ("systemctl disable --now a.timer", "systemctl enable --now a.timer")
    assert state_of(entry) is State.READY
    dropped = {field["name"] for field in entry["fields"] if field["fate"] == "dropped"}
    assert {"Timer.AccuracySec", "Timer.WakeSystem", "Service.Type", "Install.WantedBy", "user"} <= dropped


def test_intervals_and_starts_of_the_machine(tmp_path: Path) -> None:
    job = units(tmp_path, "OnBootSec=10min\nOnUnitActiveSec=1h 30min", "ExecStart=/bin/true")["job"]
    assert job["schedule"] == {"type": "interval", "interval_seconds": 5400}
    entry = units(tmp_path, "OnBootSec=10min", "ExecStart=/bin/true")
    assert entry["job"]["schedule"] == {"type": "manual"}
    for span in ("500ms", "1y", "infinity"):
        entry = units(tmp_path, f"OnUnitActiveSec={span}", "ExecStart=/bin/true")
        assert (state_of(entry), entry["job"]["schedule"]) == (State.OPEN, {"type": "manual"}), span


def test_several_times_are_several_jobs_that_do_not_run_at_once(tmp_path: Path) -> None:
    units(tmp_path, "OnCalendar=06:00\nOnCalendar=Sat 12:00\nOnUnitActiveSec=1d", "ExecStart=/bin/true")
    entries = plan_of(tmp_path)["entries"]
    assert [entry["id"] for entry in entries] == ["systemd-a", "systemd-a-2", "systemd-a-3"]
    assert [entry["job"]["schedule"].get("expression") for entry in entries] == ["0 6 * * *", "0 12 * * 6", None]
    assert entries[1]["job"]["concurrency"] == {"group": "a.timer"}


def test_drop_ins_templates_and_enabled_timers(tmp_path: Path) -> None:
    folder = tmp_path / "user"
    (folder / "timers.target.wants").mkdir(parents=True)
    (folder / "sync@.timer").write_text("[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n")
    (folder / "sync@.service").write_text("[Service]\nExecStart=/opt/old\n")
    (folder / "sync@.service.d").mkdir()
    (folder / "sync@.service.d" / "10.conf").write_text("[Service]\nExecStart=\nExecStart=/opt/sync %i \\\n  %I %n\n")
    (folder / "sync@a\\x2db.timer.d").mkdir()
    (folder / "sync@a\\x2db.timer.d" / "x.conf").write_text("[Timer]\nOnCalendar=\nOnCalendar=05:00\n")
    (folder / "timers.target.wants" / "sync@a\\x2db.timer").symlink_to("../sync@.timer")
    (folder / "off.timer").write_text("[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n")
    (folder / "off.service").write_text("[Service]\nExecStart=/bin/true\n")
    (folder / "gone.timer").symlink_to("/dev/null")
    options = SourceOptions(machine="web1", timezone="UTC")
    entries = {Path(entry["where"]).stem: entry for entry in make_plan(SOURCES["systemd"], str(folder), options, NOW)["entries"]}
    sync = entries["sync@a\\x2db"]["job"]
    assert sync["parameters"] == {"program": "/opt/sync", "arguments": ["a\\x2db", "a-b", "sync@a\\x2db.service"]}
    assert sync["schedule"]["expression"] == "0 5 * * *"
    assert entries["sync@a\\x2db"]["disable"] == "systemctl --user disable --now 'sync@a\\x2db.timer'"
    assert entries["off"]["disabled"] == "is not enabled: no folder *.wants links to it"
    assert (entries["gone"]["kind"], entries["gone"]["reason"]) == ("note", "is masked")
    assert entries["sync@"]["kind"] == "note"


def test_a_timer_whose_name_begins_with_a_hyphen_is_no_option(tmp_path: Path) -> None:
    (tmp_path / "--all.timer").write_text("[Timer]\nOnCalendar=daily\n")
    (tmp_path / "--all.service").write_text("[Service]\nExecStart=/opt/a\n")
    (entry,) = make_plan(SOURCES["systemd"], str(tmp_path), SourceOptions(machine="web1", timezone="UTC"), NOW)["entries"]
    assert entry["disable"] == "systemctl mask --now -- --all.timer"
    assert entry["enable"] == "systemctl unmask -- --all.timer && systemctl start -- --all.timer"


def test_folders_of_one_manager_belong_together(tmp_path: Path) -> None:
    shipped, own = tmp_path / "usr/lib/systemd/system", tmp_path / "etc/systemd/system"
    for folder in (shipped, own / "timers.target.wants"):
        folder.mkdir(parents=True)
    for name in ("on", "off", "gone"):
        (shipped / f"{name}.timer").write_text("[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n")
        (shipped / f"{name}.service").write_text("[Service]\nExecStart=/opt/shipped\n")
    (own / "on.service").write_text("[Service]\nExecStart=/opt/own\n")
    (own / "timers.target.wants" / "on.timer").symlink_to("/usr/lib/systemd/system/on.timer")
    (own / "gone.timer").symlink_to("/dev/null")
    options = SourceOptions(machine="web1", timezone="UTC", own={"root": str(tmp_path)})
    entries = {entry["id"]: entry for entry in make_plan(SOURCES["systemd"], str(shipped), options, NOW)["entries"]}
    assert [entries[f"systemd-{name}"]["disabled"] for name in ("on", "off")] == ["", "is not enabled: no folder *.wants links to it"]
    assert entries["systemd-gone"]["reason"] == "is masked"
    assert [entries[f"systemd-{name}"]["job"]["parameters"]["program"] for name in ("on", "off")] == ["/opt/own", "/opt/shipped"]
    assert not [field for field in entries["systemd-on"]["fields"] if field["fate"] == "waits"]


def test_what_needs_a_shell_or_a_decision(tmp_path: Path) -> None:
    entry = units(tmp_path, "OnCalendar=daily", "ExecStartPre=/opt/a\nExecStart=/opt/b ; /opt/c")
    assert state_of(entry) is State.OPEN
    assert "/opt/a && /opt/b && /opt/c" in entry["script"]
    entry = units(tmp_path, "OnCalendar=daily", "EnvironmentFile=/etc/none\nExecStart=/opt/b $UNKNOWN")
    assert {choice for decision in entry["decisions"] for choice in decision["choices"]} == {"without", "leave-out", "script"}
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "none").write_text("# c\nUNKNOWN='x y'\nDB_PASSWORD=correct-horse\n")
    plan = plan_of(tmp_path)
    assert "correct-horse" not in json.dumps(plan)
    assert plan["entries"][0]["job"]["parameters"]["arguments"] == ["x", "y"]
    assert [need["kind"] for need in plan["entries"][0]["needs"]] == ["secret"]


def test_no_secret_of_a_service_is_in_a_plan(tmp_path: Path) -> None:
    entry = units(
        tmp_path,
        "OnCalendar=daily",
        "Environment=API_TOKEN=hunter22\nExecStart=/opt/b --password=hunter23 -H https://u:hunter24@example.com",
    )
    assert "hunter" not in json.dumps(entry)


@pytest.mark.parametrize(
    ("timer", "service", "words_"),
    [
        ("OnCalendar=daily\nUnit=x.target", "ExecStart=/bin/true", "which is not a service"),
        ("OnCalendar=daily\nUnit=b.service", "ExecStart=/bin/true", "is not there"),
        ("OnCalendar=daily", "Type=oneshot", "has no ExecStart"),
        ("OnCalendar=daily", "ExecStart=/bin/a 'b", "a quote is not closed"),
        ("OnCalendar=daily", "ExecStart=/bin/a %H", "known on the machine only"),
        ("OnCalendar=daily", "nonsense", "is not an assignment"),
    ],
)
def test_units_that_are_wrong(tmp_path: Path, timer: str, service: str, words_: str) -> None:
    entry = units(tmp_path, timer, service)
    assert (entry["kind"], words_ in entry["reason"]) == ("invalid", True), entry["reason"]


def test_a_time_that_cannot_be_said_is_asked_about(tmp_path: Path) -> None:
    entry = units(tmp_path, "OnCalendar=*-*-* *:*:00.5", "ExecStart=/bin/true")
    assert (state_of(entry), entry["job"]["schedule"]) == (State.OPEN, {"type": "manual"})
    assert "parts of a second" in entry["decisions"][0]["question"]


def test_places_and_options(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        plan_of(tmp_path / "x")
    with pytest.raises(SourceError, match="has no timers"):
        plan_of(tmp_path)
    with pytest.raises(SourceError, match="is not a layout"):
        plan_of(tmp_path, layout="x")
    units(tmp_path, "OnCalendar=daily", "ExecStart=/bin/true")
    with pytest.raises(SourceError, match="such as --zone"):
        plan_of(tmp_path, zone="")
    with pytest.raises(SourceError, match="not an IANA"):
        plan_of(tmp_path, zone="Mars/Base")
    (tmp_path / "a.timer").write_text("[Timer]\nOnCalendar=daily\n")
    entry = plan_of(tmp_path)["entries"][0]
    assert (entry["disable"], entry["enable"]) == ("systemctl mask --now a.timer", "systemctl unmask a.timer && systemctl start a.timer")


def test_texts_of_units() -> None:
    unit = Unit("a.service")
    unit.add("[Service]\nA=1\nA=2\n; c\nB=x \\\n# c\n  y\nA=\nA=3\n")
    assert (unit.all("Service", "A"), unit.last("Service", "B")) == (["3"], "x  y")
    assert words("a\\tb \"c d\" 'e' f\\x20g") == [("a\tb", False), ("c d", True), ("e", True), ("f g", False)]
    assert unescape("srv-a\\x2db") == "srv/a-b"
    with pytest.raises(SystemdRefused, match="no program"):
        list(read_exec("-", {}, {}))
