"""Crontabs as cron reads them: users, variables, comments, percent signs, folders, and lines that are wrong."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from app.imports.entries import Entry, EntryKind, Reading
from app.imports.sources import SOURCES, SourceError, SourceOptions, split_place

CRONTAB = SOURCES["crontab"]


def read(folder: Path, text: str, layout: str = "user", **options: str) -> Reading:
    path = folder / "tab"
    path.write_bytes(text.encode())
    return CRONTAB.read(str(path), SourceOptions(machine="web1", timezone="Europe/Berlin", own={"layout": layout, **options}))


def only(reading: Reading) -> Entry:
    (entry,) = reading.entries
    return entry


def test_variables_apply_to_the_lines_below_them(tmp_path: Path) -> None:
    text = 'A=1\n0 1 * * * /a\nA = "2 3"\n"B"=\'x\'\nMAILTO=ops@example.com\n0 2 * * * /b\n'
    first, second = read(tmp_path, text).entries
    assert (first.line.environment, first.mail_to) == ({"A": "1"}, None)
    assert (second.line.environment["A"], second.line.environment["B"], second.mail_to) == ("2 3", "x", "ops@example.com")


def test_windows_line_ends_a_byte_order_mark_and_a_missing_last_line_end_change_nothing(tmp_path: Path) -> None:
    plain = [entry.id for entry in read(tmp_path, "# Name\n0 1 * * * /a\n0 2 * * * /b\n").entries]
    odd = read(tmp_path, "\ufeff# Name\r\n0 1 * * * /a\r\n0 2 * * * /b")
    assert [entry.id for entry in odd.entries] == plain
    assert odd.entries[0].name == "Name"


def test_a_percent_sign_ends_the_command(tmp_path: Path) -> None:
    line = only(read(tmp_path, "0 1 * * * /bin/cat --rate 19\\%%one%two\\%\n")).line
    assert (line.text, line.stdin) == ("/bin/cat --rate 19%", "one\ntwo%\n")
    assert only(read(tmp_path, "0 1 * * * /bin/date +\\%F\n")).line.stdin is None


@pytest.mark.parametrize("between", [" ", "\t", " \t "])
def test_a_system_crontab_has_a_column_for_the_user(tmp_path: Path, between: str) -> None:
    entry = only(read(tmp_path, f"17 * * * *{between}www-data{between}/a b\n", "system"))
    assert (entry.line.user, entry.line.text, entry.line.home) == ("www-data", "/a b", "/home/www-data")
    wrong = only(read(tmp_path, "17 * * * * /a\n", "system"))
    assert (wrong.kind, "use --layout user" in wrong.reason) == (EntryKind.INVALID, True)


def test_a_comment_right_above_names_the_job_and_a_disabled_entry_is_a_note(tmp_path: Path) -> None:
    text = "# Old\n\n# == Nightly backup ==\n0 1 * * * /a\n0 2 * * * /b\n#0 3 * * * /c\n# 5 apples a day are good\n# @daily /d\n"
    entries = read(tmp_path, text).entries
    assert [(entry.kind.value, entry.name) for entry in entries] == [("job", "Nightly backup"), ("job", ""), ("note", ""), ("note", "")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("60 * * * * /a", "minute: 60 is not between 0 and 59"),
        ("* * * * /a", "needs five time fields and a command"),
        ("* * * * *", "needs five time fields and a command"),
        ("@fortnightly /a", "@fortnightly is not known to cron"),
        ("5/2 * * * * /a", "a step after a single number"),
    ],
)
def test_lines_that_cron_refuses_are_reported_with_the_reason(tmp_path: Path, line: str, reason: str) -> None:
    entry = only(read(tmp_path, f"{line}\n"))
    assert (entry.kind, entry.where.endswith(":1"), reason in entry.reason) == (EntryKind.INVALID, True, True)


def test_ids_stay_while_other_lines_change_and_equal_lines_have_their_own(tmp_path: Path) -> None:
    before = read(tmp_path, "0 1 * * * /a\n0 1 * * * /a\n").entries
    after = read(tmp_path, "X=1\n\n5 5 * * * /z\n0  1 * * * /a\n0 1 * * * /a\n").entries
    assert [entry.id for entry in after[1:]] == [entry.id for entry in before]
    assert len({entry.id for entry in after}) == 3


def test_a_folder_is_read_as_cron_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "cron.d"
    folder.mkdir()
    (folder / "app").write_text("1 1 * * * app /a\n")
    (folder / "app.dpkg-old").write_text("1 1 * * * app /old\n")
    reading = CRONTAB.read(str(folder), SourceOptions(machine="web1"))
    assert only(reading).line.user == "app"
    assert "app.dpkg-old is left out" in reading.remarks[0]
    with pytest.raises(SourceError, match="has no file that cron reads"):
        CRONTAB.read(str(tmp_path), SourceOptions(machine="web1"))


def test_run_parts_becomes_an_entry_for_each_script(tmp_path: Path) -> None:
    folder = tmp_path / "cron.daily"
    folder.mkdir()
    for name, mode in (("logrotate", 0o755), ("man-db", 0o755), ("off", 0o644), ("x.sh", 0o755)):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(mode)
    direct = CRONTAB.read(str(folder), SourceOptions(machine="web1")).entries
    assert [(entry.name, entry.kind.value) for entry in direct] == [
        ("cron.daily: logrotate", "job"),
        ("cron.daily: man-db", "job"),
        ("", "note"),
    ]
    assert {entry.values["times"] for entry in direct if entry.kind is EntryKind.JOB} == {"25 6 * * *"}
    line = f"25 6 * * * root test -x /usr/sbin/anacron || {{ cd / && run-parts --report {folder}; }}\n"
    through = read(tmp_path, line, "system").entries
    assert [entry.line.text for entry in through] == [str(folder / "logrotate"), str(folder / "man-db")]
    assert CRONTAB.disable(direct[0]) == f"chmod a-x {folder}/logrotate"


def test_the_commands_that_disable_and_enable_an_original_do_so(tmp_path: Path) -> None:
    entry = read(tmp_path, "0 1 * * * root /a\n0 2 * * * root /b\n", "system").entries[1]
    path = entry.where.rpartition(":")[0]
    assert CRONTAB.disable(entry) == f"sed -i '2s/^/#jobwright# /' {path}"
    assert CRONTAB.enable(entry) == f"sed -i '2s/^#jobwright# //' {path}"
    disabled = read(tmp_path, "0 1 * * * root /a\n#jobwright# 0 2 * * * root /b\n", "system").entries
    assert [found.kind.value for found in disabled] == ["job", "note"]


def test_a_copy_with_another_layout_than_its_place_says_makes_no_program_of_a_user(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_text("MAILTO=root\n# m\n17 * * * * root /a\n0 3 * * * shop\tcurl -s https://x.example.com/\n@daily www-data /b c\n")
    entries = CRONTAB.read(str(copy), SourceOptions(machine="web1", timezone="UTC")).entries
    assert {entry.kind for entry in entries} == {EntryKind.INVALID}
    assert all("such as root. If they have one, use --layout system." in entry.reason for entry in entries)
    chosen = CRONTAB.read(str(copy), SourceOptions(machine="web1", timezone="UTC", own={"layout": "user"})).entries
    assert [entry.line.text for entry in chosen] == ["root /a", "shop\tcurl -s https://x.example.com/", "www-data /b c"]
    copy.write_text("0 3 * * * /usr/bin/root /a\n0 4 * * * ./root /a\n0 5 * * * rooted /a\n0 6 * * * root\n0 7 * * * echo root\n")
    entries = CRONTAB.read(str(copy), SourceOptions(machine="web1", timezone="UTC")).entries
    assert {entry.kind for entry in entries} == {EntryKind.JOB}, "programs"


def test_a_crontab_of_a_user_among_those_of_the_system_makes_no_user_of_a_program(tmp_path: Path) -> None:
    folder = tmp_path / "cron.d"
    folder.mkdir()
    lines = ("/opt/a b", "./a b", "A=1 /opt/a", "'/opt/a' b", "-x y", "curl -s https://x.example.com/", "cd /srv && ls")
    (folder / "shop").write_text("".join(f"{number} 3 * * * {line}\n" for number, line in enumerate(lines)))
    users = ("root", "www-data", "svc@corp.example.com", "CORP\\\\svc", "node", "host$")
    (folder / "right").write_text("".join(f"{number} 3 * * * {user} /opt/a b\n" for number, user in enumerate(users)))
    entries = CRONTAB.read(str(folder), SourceOptions(machine="web1", timezone="UTC")).entries
    wrong = [entry for entry in entries if entry.where.startswith(f"{folder}/shop:")]
    assert {entry.kind for entry in wrong} == {EntryKind.INVALID}
    assert all("use --layout user" in entry.reason for entry in wrong)
    assert wrong[5].reason.startswith("has curl where a crontab of a system has the user.")
    assert [entry.kind for entry in entries if entry not in wrong] == [EntryKind.JOB] * len(users)


def test_a_file_whose_name_begins_with_a_hyphen_is_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-e").write_text("0 1 * * * root /a\n0 2 * * * root /b\n")
    entry = CRONTAB.read("-e", SourceOptions(machine="web1", own={"layout": "system"})).entries[1]
    before = Path("-e").read_text()
    subprocess.run(CRONTAB.disable(entry), shell=True, check=True)  # noqa: S602 - it is printed for a shell
    assert Path("-e").read_text() == before.replace("0 2", "#jobwright# 0 2")
    subprocess.run(CRONTAB.enable(entry), shell=True, check=True)  # noqa: S602 - the same
    assert Path("-e").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["-e"]


def test_the_place_names_the_source() -> None:
    assert split_place("crontab:/etc/crontab")[1] == "/etc/crontab"
    assert split_place("/etc/crontab")[1] == "/etc/crontab"
    with pytest.raises(SourceError, match="'quartz' is not a source"):
        split_place("quartz:/x")
