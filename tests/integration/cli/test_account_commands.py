"""`jobwright user`, `token`, `channel`, `template`, `export`, `plan` and `apply` against a server with a token."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.builders.channels import receiver
from tests.commands import jobwright
from tests.support import ADMIN, Service


@pytest.fixture(scope="module")
def service(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    data_dir = tmp_path_factory.mktemp("accounts")
    settings = {"uri": mongod, "database": f"cli_accounts_{os.getpid()}", "JOBWRIGHT_ALLOWED_HOSTS": "127.0.0.1"}
    started = Service("web", data_dir=data_dir, warm=True, **settings).wait_ready()
    yield started
    started.stop()


@pytest.fixture(scope="module")
def environment(service: Service) -> dict[str, str]:
    clean = {name: value for name, value in service.environment.items() if not name.startswith(("JOBWRIGHT_", "MONGODB_"))}
    return {**clean, "JOBWRIGHT_SERVER": service.address, "JOBWRIGHT_TOKEN": service.token()}


def test_a_person_is_invited_and_the_link_leads_to_the_server(service: Service, environment: dict[str, str]) -> None:
    invited = jobwright(environment, "user", "create", "--email", "ada@example.com", "--invite", check=True)
    assert re.fullmatch(rf"{service.address}/reset/[\w-]{{43}}\n", invited.stdout)
    refused = jobwright(environment, "user", "create", "--email", "eve@example.com", "--password", "correct horse battery")
    assert (refused.returncode, "--invite" in refused.stderr, "battery" in refused.stderr) == (2, True, False)
    twice = jobwright(environment, "user", "create", "--email", "ada@example.com", "--invite")
    assert (twice.returncode, "ada@example.com" in twice.stderr) == (4, True)
    changed = jobwright(environment, "user", "change", "ADA@example.com", "--group", "north", check=True).stdout
    assert changed == "ada@example.com has the role admin, is restricted to north.\n"
    listed = json.loads(jobwright(environment, "user", "list", "--json", check=True).stdout)["users"]
    assert {row["email"]: row["groups"] for row in listed} == {ADMIN: [], "ada@example.com": ["north"]}
    assert jobwright(environment, "user", "reset", "ada@example.com", check=True).stdout.startswith(f"{service.address}/reset/")


def test_a_token_expires_after_90_days_unless_somebody_says_otherwise(environment: dict[str, str]) -> None:
    usual = jobwright(environment, "token", "create", "--user", ADMIN, "--name", "usual", check=True)
    assert (usual.stdout.startswith("jw_"), usual.stdout.count("\n"), "after 90 days" in usual.stderr) == (True, 1, True)
    short = jobwright(environment, "token", "create", "--user", ADMIN, "--name", "short", "--days", "3", check=True)
    jobwright(environment, "token", "create", "--user", ADMIN, "--name", "eternal", "--never-expires", check=True)
    both = jobwright(environment, "token", "create", "--user", ADMIN, "--name", "x", "--days", "3", "--never-expires")
    assert (short.stderr, both.returncode) == ("", 2)
    rows = {row["name"]: row for row in json.loads(jobwright(environment, "token", "list", "--json", check=True).stdout)["tokens"]}
    days = {name: row["expires_at"] and (datetime.fromisoformat(row["expires_at"]) - datetime.now(UTC)) for name, row in rows.items()}
    assert days["eternal"] is None
    assert timedelta(days=89) < days["usual"] < timedelta(days=91)
    assert timedelta(days=2) < days["short"] < timedelta(days=4)
    table = jobwright(environment, "token", "list", check=True).stdout
    assert ("never expires" in table, usual.stdout.strip() in table, re.search(r"\d\d:\d\d:\d\d", table)) == (True, False, None)
    revoked = jobwright(environment, "token", "revoke", rows["short"]["id"], check=True)
    assert revoked.stdout == "The token is revoked.\n"
    assert re.search(r"short .*revoked", jobwright(environment, "token", "list", check=True).stdout)


def test_an_admins_token_has_no_scope_that_its_owner_lacks(environment: dict[str, str]) -> None:
    jobwright(environment, "user", "create", "--email", "otto@example.com", "--invite", check=True)
    jobwright(environment, "token", "create", "--user", "otto@example.com", "--name", "o", check=True)
    rows = json.loads(jobwright(environment, "token", "list", "--json", check=True).stdout)["tokens"]
    assert next(row["scopes"] for row in rows if row["name"] == "o") == ["read", "run", "write"]
    unknown = jobwright(environment, "token", "create", "--user", "nobody@example.com", "--name", "x")
    assert (unknown.returncode, environment["JOBWRIGHT_SERVER"] in unknown.stderr, ADMIN in unknown.stderr) == (3, True, True)


def test_a_file_goes_to_the_server_and_back(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "jobs.yaml"
    file.write_text("jobwright: 1\njobs:\n- name: first\n  template_type: noop\n  tags: [shop]\n")
    planned = jobwright(environment, "plan", str(file))
    assert (planned.returncode, planned.stdout) == (10, "create    first\n1 to create.\n")
    assert jobwright(environment, "apply", str(file), check=True).stdout == "created   first\n1 created.\n"
    assert jobwright(environment, "import", str(file), check=True).stdout == "unchanged first\n1 unchanged.\n"
    exported = jobwright(environment, "export", check=True).stdout
    assert ("- shop" in exported, "parameters" in exported, "enabled" in exported) == (True, False, False)
    assert jobwright(environment, "export", "--tag", "nope", check=True).stdout.endswith("jobs: []\n")
    assert jobwright(environment, "export", "--output", str(tmp_path / "out.json"), "--format", "json", check=True).stdout == ""
    assert json.loads((tmp_path / "out.json").read_text())["jobs"][0]["name"] == "first"


def test_a_command_of_this_machine_says_that_it_does_not_ask_the_server(environment: dict[str, str], tmp_path: Path) -> None:
    done = jobwright({**environment, "JOBWRIGHT_DATA_DIR": str(tmp_path / "none")}, "doctor")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        78,
        "jobwright: this command works on the registry of this machine, not on JOBWRIGHT_SERVER.",
    )


def test_no_request_can_say_that_it_comes_from_this_machine(service: Service) -> None:
    names = ("jobwright.actor", "Jobwright-Actor", "jobwright_actor")
    answer = httpx.get(f"{service.address}/api/admin/users", headers=dict.fromkeys(names, "cli"))
    assert answer.status_code == 401


def test_templates_are_listed(environment: dict[str, str]) -> None:
    lines = jobwright(environment, "template", "list", check=True).stdout.splitlines()
    assert re.split(r" {2,}", lines[0])[:4] == ["TYPE", "NAME", "CATEGORY", "STATE"]
    cleanup = next(line for line in lines if line.startswith("database_cleanup"))
    assert re.split(r" {2,}", cleanup)[3:5] == ["enabled", "yes"]


def test_channels_are_listed_and_tested(service: Service, environment: dict[str, str]) -> None:
    none = jobwright(environment, "channel", "list", check=True)
    assert (none.stdout, none.stderr) == ("", "There are no channels to show.\n")
    with receiver() as target, service.api() as api:
        ops = {"name": "Operations", "type": "webhook", "settings": {"url": target.url}}
        chat = {"name": "Chat", "type": "slack", "settings": {"url": target.url}, "language": "de", "fallback": "Operations"}
        for body in (ops, chat, {**ops, "name": "Off", "enabled": False}):
            api.post("/api/admin/channels", json=body).raise_for_status()
        sent = jobwright(environment, "channel", "test", "Operations", check=True).stdout
        assert re.fullmatch(r"sent \([\d.]+ m?s\): 127\.0\.0\.1:\d+ answered 200\.\n", sent)
        target.answers = [404]
        failed = jobwright(environment, "channel", "test", "Chat", "--json")
        assert (failed.returncode, json.loads(failed.stdout)["result"]) == (1, "refused")
    assert target.got[0][1]["type"] == "channel.test"
    table = jobwright(environment, "channel", "list", check=True).stdout
    names = [re.split(r" {2,}", line)[:3] for line in table.splitlines()]
    assert names == [
        ["NAME", "TYPE", "STATE"],
        ["Chat", "slack", "broken"],
        ["Off", "webhook", "disabled"],
        ["Operations", "webhook", "enabled"],
    ]
    assert "answered 404" in table
    unknown = jobwright(environment, "channel", "test", "Operation")
    assert (unknown.returncode, "Did you mean 'Operations'?" in unknown.stderr) == (3, True)
