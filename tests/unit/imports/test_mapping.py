"""What commands become."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.imports.plan import Plan, PlanEntry
from app.validation import SchemaValidator
from templates_lib.backup.template import Backup
from templates_lib.base import JobTemplate
from templates_lib.command.template import RunCommand
from templates_lib.email_notification.template import EmailNotification
from templates_lib.file_cleanup.template import FileCleanup
from templates_lib.http_health_check.template import HttpHealthCheck
from templates_lib.webhook_trigger.template import WebhookTrigger
from tests.builders.plans import plan_of

TEMPLATES: dict[str, JobTemplate] = {
    kind.type: kind() for kind in (Backup, RunCommand, EmailNotification, FileCleanup, HttpHealthCheck, WebhookTrigger)
}


def entry_of(folder: Path, command: str, before: str = "") -> PlanEntry:
    plan: Plan = plan_of(folder, f"{before}0 1 * * * {command}\n", home="/home/app")
    (entry,) = plan["entries"]
    return dict(entry)


@pytest.mark.parametrize(
    ("command", "template", "parameters"),
    [
        ("/opt/a.sh one 'two three' >> /var/log/a.log 2>&1", "command", {"program": "/opt/a.sh", "arguments": ["one", "two three"]}),
        ("cd /srv/a && ./run --all", "command", {"program": "/srv/a/run", "arguments": ["--all"], "folder": "/srv/a"}),
        ("cd ~/a; bin/x", "command", {"program": "/home/app/a/bin/x", "folder": "/home/app/a"}),
        ("A=1 B='2 3' /opt/x", "command", {"program": "/opt/x", "environment": {"A": "1", "B": "2 3"}}),
        ("/opt/x%in%put", "command", {"program": "/opt/x", "input": "in\nput\n"}),
        ('sh -c "cd /srv && /opt/x"', "command", {"program": "/opt/x", "folder": "/srv"}),
        ("su - app -c '/opt/x -v'", "command", {"program": "/opt/x", "arguments": ["-v"]}),
        ("[ -x /opt/x ] && /opt/x || true", "command", {"program": "/opt/x"}),
        ("curl -fsS https://example.com/healthz", "http_health_check", {"checks": [{"url": "https://example.com/healthz"}]}),
        ("curl -s https://example.com/go > /dev/null", "webhook_trigger", {"url": "https://example.com/go", "method": "GET"}),
        (
            "curl -XPOST -d '{\"a\": 1}' https://example.com/go",
            "webhook_trigger",
            {"url": "https://example.com/go", "method": "POST", "body": {"a": 1}},
        ),
        (
            "wget -qO- http://localhost:80/x",
            "webhook_trigger",
            {"connection": "http-localhost-80", "url": "http://localhost:80/x", "method": "GET", "follow_redirects": True},
        ),
        (
            "find /var/log/a -type f -name '*.gz' -mtime +7 -delete",
            "file_cleanup",
            {"store": "file-store-var-log-a", "recursive": True, "pattern": "*.gz", "older_than_days": 8, "dryRun": False},
        ),
        (
            "mongodump --host db1 --db shop --out /backup/$(date +\\%F)",
            "backup",
            {"connection": "mongodb-db1-shop", "store": "file-store-backup", "name": "shop"},
        ),
        (
            "echo 'Hello' | mail -s 'The subject' a@example.com",
            "email_notification",
            {"connection": "smtp-mail", "recipients": ["a@example.com"], "subject": "The subject", "body": "Hello"},
        ),
    ],
)
def test_commands_become_jobs_that_their_templates_accept(tmp_path: Path, command: str, template: str, parameters: dict[str, Any]) -> None:
    entry = entry_of(tmp_path, command)
    assert (entry["job"]["template_type"], entry["job"]["parameters"]) == (template, parameters)
    assert entry["decisions"] == []
    assert not any(field["fate"] == "waits" for field in entry["fields"])
    assert SchemaValidator(TEMPLATES[template].parameters_schema).errors(parameters) == []
    assert list(TEMPLATES[template].check(parameters)) == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("ps | grep x", "it has a pipe"),
        ("/a; /b", "it has several commands"),
        ("rm -f /srv/x/*", "a shell must replace /srv/x/* by the names of files"),
        ("/a --day $(date +\\%F)", "it uses the output of date"),
        ("/a `hostname`", "it uses the output of another command"),
        ("/a $UNKNOWN", "the value of $UNKNOWN is not known"),
        ("for f in 1 2; do /a; done", "it uses for of the shell"),
        ("/a < /etc/passwd", "it reads /etc/passwd"),
        ("/a 'open", "a quote is not closed"),
        ("(/a)", "it runs a group of commands"),
        ("/a --password=hunter22", "a secret is among the arguments"),
    ],
)
def test_what_needs_a_shell_waits_with_a_proposed_script(tmp_path: Path, command: str, why: str) -> None:
    entry = entry_of(tmp_path, command)
    (decision,) = entry["decisions"]
    assert why in decision["question"]
    assert set(decision["choices"]) == {"script", "leave-out"}
    assert entry["script"].startswith("#!/bin/sh\n")
    assert entry["job"]["parameters"] == {"program": f"/usr/local/lib/jobwright/{entry['id']}.sh"}
    assert [field["fate"] for field in entry["fields"] if field["name"] == "command"] == ["waits"]


def test_programs_around_a_command_become_policies(tmp_path: Path) -> None:
    job = entry_of(tmp_path, "nice -n 5 timeout 2h flock -n /tmp/l /opt/x &")["job"]
    assert (job["timeout_seconds"], job["overlap"], job["parameters"]) == (7200, "skip", {"program": "/opt/x"})
    assert entry_of(tmp_path, "flock /tmp/l /opt/x")["job"]["overlap"] == "queue"
    jitter = "test -x /usr/bin/certbot -a \\! -d /run/systemd/system && perl -e 'sleep int(rand(43200))' && certbot -q renew"
    assert entry_of(tmp_path, jitter)["job"]["schedule"]["jitter_seconds"] == 43200


def test_mailto_becomes_notifications(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, "/a", "MAILTO=root,ops@example.com\n")
    assert entry["job"]["notifications"] == {"on_failure": ["ops@example.com"]}
    assert [(field["value"], field["fate"]) for field in entry["fields"] if field["name"] == "MAILTO"] == [
        ("ops@example.com", "mapped"),
        ("root", "dropped"),
    ]
    assert "notifications" not in entry_of(tmp_path, "/a", 'MAILTO=""\n')["job"]
    assert entry_of(tmp_path, "/a | mail -s x b@example.com")["job"]["notifications"]["on_success"] == ["b@example.com"]


def test_equal_secrets_share_a_connection_and_others_have_their_own(tmp_path: Path) -> None:
    text = "TOKEN=first-value-1\n0 1 * * * /a\n0 2 * * * /b\nTOKEN=other-value-2\n0 3 * * * /c\n"
    names = [entry["job"]["parameters"]["secrets"]["TOKEN"]["name"] for entry in plan_of(tmp_path, text)["entries"]]
    assert names == ["secret-token", "secret-token", "secret-token-2"]


def test_a_call_that_signs_in_needs_a_connection_without_its_secret_in_the_plan(tmp_path: Path) -> None:
    entry = entry_of(tmp_path, "curl -u reporter:Ki8ssecret https://example.com/run")
    (need,) = entry["needs"]
    assert need["settings"] == {"hosts": ["example.com"], "plain": False, "proof": "basic", "username": "reporter"}
    assert (need["secret"], set(entry["decisions"][0]["choices"])) == ("the password", {"approve", "leave-out"})
