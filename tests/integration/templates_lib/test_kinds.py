"""The four kinds against the real thing: mongod, an SMTP server with TLS and sign-in, files, an HTTP server."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from bson import ObjectId, json_util

from app.errors import FieldError
from app.factory import Store
from app.jobtemplates.catalogue import Catalogue
from app.migrations import MARKER
from templates_lib.base import Cancelled, ConnectionGrant, JobTemplate, RunContext, TemplateError
from templates_lib.data_export.template import DataExport
from templates_lib.database_cleanup.template import DatabaseCleanup
from templates_lib.email_notification.template import EmailNotification
from templates_lib.net import TargetRefused
from templates_lib.webhook_trigger.template import WebhookTrigger, sign
from tests.builders.mail import Inbox, mail_server
from tests.running import NOW, Ctx, Data


def _check(template: JobTemplate, parameters: Any) -> list[FieldError]:
    catalogue = Catalogue({template.type: template})
    return catalogue.get(template.type).check(parameters)


# -- database_cleanup -------------------------------------------------------------------------------------------------


@pytest.fixture
def users(data: Data) -> Data:
    """100 users: 0–59 inactive for seven months, 60–99 active; ids of several types."""
    data["users"].insert_many(
        [
            {
                "_id": n if n % 2 else ObjectId(),
                "n": n,
                "lastActive": NOW - timedelta(days=220 if n < 60 else 10),
                "tags": ["a"] if n % 3 else [],
            }
            for n in range(100)
        ]
    )
    return data


def cleanup(**changes: Any) -> dict[str, Any]:
    return {"connection": "db", "collection": "users", "condition": {"lastActive": {"$lt": "6 months ago"}}, "dryRun": False, **changes}


def test_cleanup_deletes_exactly_what_the_condition_means_in_batches_with_progress(users: Data, ctx: Ctx) -> None:
    result = DatabaseCleanup().run(cleanup(batch_size=25), ctx())
    assert result.data == {"records_processed": 60, "records_deleted": 60, "errors": 0, "dry_run": False}
    assert result.message == "Deleted 60 documents"
    assert sorted(row["n"] for row in users["users"].find()) == list(range(60, 100))
    assert ctx.steps == [(25, 60), (50, 60), (60, 60)]


def test_cleanup_is_a_dry_run_unless_told_otherwise(users: Data, ctx: Ctx) -> None:
    params = cleanup()
    del params["dryRun"]
    result = DatabaseCleanup().run(params, ctx())
    assert (result.message, result.data["records_deleted"]) == ("Would delete 60 documents (dry run)", 0)
    assert users["users"].count_documents({}) == 100
    assert DatabaseCleanup.parameters_schema["properties"]["dryRun"]["default"] is True


def test_cleanup_stops_at_max_deletes(users: Data, ctx: Ctx) -> None:
    result = DatabaseCleanup().run(cleanup(max_deletes=7, batch_size=3), ctx())
    assert (result.data["records_deleted"], result.message) == (7, "Deleted 7 documents, stopped at 7")
    assert users["users"].count_documents({}) == 93


def test_cleanup_spares_a_document_that_changes_after_its_batch_was_read(users: Data, ctx: Ctx, monkeypatch: pytest.MonkeyPatch) -> None:
    def rescue(*_: Any) -> None:
        users["users"].update_one({"n": 5}, {"$set": {"lastActive": NOW}})

    monkeypatch.setattr(RunContext, "check_cancelled", rescue)
    DatabaseCleanup().run(cleanup(), ctx())
    assert sorted(row["n"] for row in users["users"].find()) == [5, *range(60, 100)]


def test_cleanup_can_be_cancelled_between_batches(users: Data, ctx: Ctx) -> None:
    def after_two(done: int, total: int | None, note: str) -> None:
        if done >= 20:
            ctx.stop.set()

    with pytest.raises(Cancelled):
        DatabaseCleanup().run(cleanup(batch_size=10), ctx(report=after_two))
    assert users["users"].count_documents({}) == 80


def test_cleanup_previews_and_changes_nothing(users: Data, ctx: Ctx) -> None:
    result = DatabaseCleanup().preview(cleanup(max_deletes=50), ctx())
    assert result.message == "Would delete 50 of 100 documents"
    assert (result.data["matching"], len(result.data["samples"])) == (60, 5)
    assert "2026-02-28T12:00:00Z" in result.data["condition"], "six months before 31 August is the end of February"
    assert users["users"].count_documents({}) == 100


@pytest.mark.parametrize(
    ("condition", "left"),
    [
        ({"n": {"$in": [1, 2, 3]}}, 97),
        ({"lastActive": {"$lt": {"$date": "2026-03-01T00:00:00Z"}}, "n": {"$gte": 50}}, 90),
        ({"$or": [{"n": 1}, {"tags": {"$size": 0}}]}, 65),
        ({"n": {"$not": {"$lt": 90}}}, 90),
        ({"tags": {"$elemMatch": {"$eq": "a"}}}, 34),
    ],
)
def test_cleanup_takes_query_form_and_extended_json(users: Data, ctx: Ctx, condition: dict[str, Any], left: int) -> None:
    DatabaseCleanup().run(cleanup(condition=condition), ctx())
    assert users["users"].count_documents({}) == left


@pytest.mark.parametrize("age", ["6 monthes ago", "six months ago", "-6 months ago", "99999999999999999999 months ago", "yesterday"])
def test_cleanup_deletes_nothing_by_a_misspelt_age(users: Data, ctx: Ctx, age: str) -> None:
    users["texts"].insert_many([{"at": f"20{n}-01-01T00:00:00Z"} for n in range(10, 30)])
    params = cleanup(collection="texts", condition={"at": {"$lt": age}})
    for work in (DatabaseCleanup().run, DatabaseCleanup().preview):
        with pytest.raises(TemplateError, match=r"^/condition/at/\$lt: "):
            work(params, ctx())
    assert users["texts"].count_documents({}) == 20
    assert (
        DatabaseCleanup().run(cleanup(collection="texts", condition={"at": {"$lt": {"$literal": "2015"}}}), ctx()).data["records_deleted"]
        == 5
    )


def test_a_preview_says_how_dates_were_read_and_warns_of_other_types(users: Data, ctx: Ctx) -> None:
    users["texts"].insert_many([{"at": "2020-01-01T00:00:00Z", "deep": [{"on": "2020-01-01"}], "none": None} for _ in range(3)])
    conditions: list[tuple[str, dict[str, Any], list[str]]] = [
        ("users", {"lastActive": {"$lt": "6 months ago"}}, []),
        ("texts", {"at": {"$lt": "6 months ago"}}, ["at"]),
        ("texts", {"at": {"$not": {"$gt": "1 day ago"}}}, ["at"]),
        ("texts", {"deep": {"$elemMatch": {"on": {"$lt": "now"}}}}, ["deep.on"]),
        ("texts", {"deep.on": {"$lt": "now"}}, ["deep.on"]),
        ("texts", {"deep.0.on": {"$lt": "now"}}, ["deep.0.on"]),
        ("texts", {"none": {"$lt": "now"}}, []),
        ("texts", {"missing": {"$lt": "now"}}, []),
        ("users", {"lastActive": {"$lt": "2026-01-01"}}, ["lastActive"]),
        ("texts", {"at": {"$lt": "2026"}}, []),
        ("nothing", {"at": {"$lt": "now"}}, []),
        ("texts", {"$or": [{"at": {"$lt": "now"}}, {"deep": {"$lt": "now"}}, {"deep.on": {"$lt": "now"}}]}, ["at", "deep", "deep.on"]),
    ]
    for collection, condition, fields in conditions:
        data = DatabaseCleanup().preview(cleanup(collection=collection, condition=condition), ctx()).data
        assert [one.split(" ")[0] for one in data.get("warnings", [])] == fields, condition
    told = DatabaseCleanup().preview(cleanup(), ctx()).data["dates"]
    assert told == [{"pointer": "/lastActive/$lt", "text": "6 months ago", "means": "2026-02-28T12:00:00Z"}]
    exported = DataExport().preview(export(collection="texts", filter={"at": {"$lt": "now"}}), ctx()).data
    assert (len(exported["dates"]), len(exported["warnings"])) == (1, 1)


def test_cleanup_refuses_jobwrights_own_database_and_system_collections(users: Data, ctx: Ctx, store: Store) -> None:
    own = ConnectionGrant("db", "mongodb", {**ctx.grants["db"].settings, "database": store.database.name})
    assert store.database["migrations"].find_one(MARKER) is not None
    for collection in ("dynamic_jobs", "audit_log", "anything"):
        with pytest.raises(TemplateError, match="Jobwright's own") as caught:
            DatabaseCleanup().run(cleanup(collection=collection), ctx(grants={"db": own}))
        assert caught.value.permanent
    with pytest.raises(TemplateError, match="belong to MongoDB"):
        DatabaseCleanup().run(cleanup(collection="system.views"), ctx())


@pytest.mark.parametrize("condition", [{}, {"_id": {"$exists": True}}, {"$where": "1"}, {"n": {"$gt": 1, "$expr": 1}}])
def test_cleanup_refuses_before_it_connects(ctx: Ctx, condition: dict[str, Any]) -> None:
    unreachable = ConnectionGrant("db", "mongodb", {"uri": "mongodb://127.0.0.1:1", "database": "x"})
    with pytest.raises(TemplateError) as caught:
        DatabaseCleanup().run(cleanup(condition=condition), ctx(grants={"db": unreachable}))
    assert caught.value.permanent


def test_a_server_that_is_away_may_be_tried_again_and_a_missing_grant_may_not(ctx: Ctx, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("templates_lib.connections.mongodb.TIMEOUT_MS", 300)
    away = ConnectionGrant("db", "mongodb", {"uri": "mongodb://127.0.0.1:1/?directConnection=true", "database": "x"})
    with pytest.raises(TemplateError, match="Nothing listens at 127.0.0.1:1 ") as caught:
        DatabaseCleanup().run(cleanup(), ctx(grants={"db": away}))
    assert not caught.value.permanent
    for grants in ({}, {"db": ConnectionGrant("db", "smtp", {})}):
        with pytest.raises(TemplateError) as refused:
            DatabaseCleanup().run(cleanup(), ctx(grants=grants))
        assert refused.value.permanent


# -- data_export ------------------------------------------------------------------------------------------------------


def export(**changes: Any) -> dict[str, Any]:
    return {
        "connection": "db",
        "collection": "rows",
        "format": "csv",
        "destination": {"connection": "files", "path": "out/rows-{date}.csv"},
        **changes,
    }


@pytest.fixture
def rows(data: Data) -> Data:
    data["rows"].insert_many(
        [
            {"_id": 1, "name": "Ada", "born": datetime(1815, 12, 10, tzinfo=UTC), "address": {"city": "London"}, "n": 2**53 + 1},
            {"_id": 2, "name": '=HYPERLINK("http://evil")', "note": 'quote " comma , newline\n', "n": -5},
            {"_id": 3, "name": "+49 30", "extra": [1, {"a": None}], "n": float("inf")},
            {"_id": 4, "name": "@cmd", "flag": True, "n": 1.5},
        ]
    )
    return data


def exported(tmp_path: Path, result: Any) -> bytes:
    raw = (tmp_path / "store" / result.data["path"]).read_bytes()
    assert (len(raw), hashlib.sha256(raw).hexdigest()) == (result.data["bytes"], result.data["sha256"])
    return gzip.decompress(raw) if result.data["path"].endswith(".gz") else raw


def test_csv_is_formula_safe_and_has_every_field(rows: Data, ctx: Ctx, tmp_path: Path) -> None:
    result = DataExport().run(export(sort=[{"field": "_id", "direction": "desc"}]), ctx())
    assert result.data["path"] == "out/rows-2026-08-31.csv"
    table = list(csv.DictReader(io.StringIO(exported(tmp_path, result).decode())))
    assert [row["_id"] for row in table] == ["4", "3", "2", "1"]
    assert [row["name"] for row in table] == ["'@cmd", "'+49 30", '\'=HYPERLINK("http://evil")', "Ada"]
    assert table[3] | {"n": ""} == {
        "_id": "1",
        "name": "Ada",
        "born": "1815-12-10T00:00:00Z",
        "address": '{"city": "London"}',
        "n": "",
        "note": "",
        "extra": "",
        "flag": "",
    }
    assert (table[3]["n"], table[2]["n"]) == (str(2**53 + 1), "-5")
    assert table[2]["note"] == 'quote " comma , newline\n'


def test_fields_filter_limit_and_compression(rows: Data, ctx: Ctx, tmp_path: Path) -> None:
    result = DataExport().run(
        export(fields=["name", "address.city"], filter={"_id": {"$lte": 3}}, sort=[{"field": "_id"}], limit=2, compress="gzip"), ctx()
    )
    assert result.data["path"].endswith(".csv.gz")
    assert exported(tmp_path, result).decode().splitlines() == ["name,address.city", "Ada,London", '"\'=HYPERLINK(""http://evil"")",']


def test_json_lines_and_json_are_extended_json(rows: Data, ctx: Ctx, tmp_path: Path) -> None:
    for kind in ("jsonl", "json"):
        result = DataExport().run(export(format=kind, sort=[{"field": "_id"}]), ctx())
        text = exported(tmp_path, result).decode()
        documents = json.loads(text) if kind == "json" else [json.loads(line) for line in text.splitlines()]
        assert [one["_id"] for one in documents] == [1, 2, 3, 4]
        assert json_util.loads(json.dumps(documents[0]))["born"].year == 1815
    empty = DataExport().run(export(format="json", filter={"_id": 99}), ctx())
    assert json.loads(exported(tmp_path, empty)) == []


def test_a_spreadsheet_holds_text_as_text(rows: Data, ctx: Ctx, tmp_path: Path) -> None:
    result = DataExport().run(export(format="xlsx", fields=["_id", "name", "n", "flag"], sort=[{"field": "_id"}]), ctx())
    sheet = openpyxl.load_workbook(io.BytesIO(exported(tmp_path, result))).active
    assert sheet is not None
    table = [list(row) for row in sheet.values]
    assert table[0] == ["_id", "name", "n", "flag"]
    assert table[1][:3] == [1, "Ada", str(2**53 + 1)]
    assert [cell.data_type for cell in sheet[3]][:3] == ["n", "s", "n"], "the formula is a string"
    assert table[4] == [4, "@cmd", 1.5, True]


def test_an_export_that_fails_half_way_leaves_no_file_and_the_old_one(rows: Data, ctx: Ctx, tmp_path: Path) -> None:
    DataExport().run(export(destination={"connection": "files", "path": "same.csv"}), ctx())
    before = (tmp_path / "store" / "same.csv").read_bytes()
    rows["rows"].insert_many([{"n": n} for n in range(5000)])
    ctx.stop.set()
    with pytest.raises(Cancelled):
        DataExport().run(export(destination={"connection": "files", "path": "same.csv"}), ctx())
    assert (tmp_path / "store" / "same.csv").read_bytes() == before
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["same.csv"]


@pytest.mark.parametrize("path", ["../x.csv", "a/../../x", "a//b"])
def test_an_export_stays_in_its_store(rows: Data, ctx: Ctx, path: str) -> None:
    with pytest.raises(TemplateError) as caught:
        DataExport().run(export(destination={"connection": "files", "path": path}), ctx())
    assert caught.value.permanent


def test_a_symbolic_link_does_not_lead_out_of_the_store(rows: Data, ctx: Ctx, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "way").symlink_to(tmp_path)
    with pytest.raises(TemplateError, match="leads out"):
        DataExport().run(export(destination={"connection": "files", "path": "way/x.csv"}), ctx())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_an_export_takes_constant_memory(data: Data, ctx: Ctx, tmp_path: Path, mongod: str, kind: str) -> None:
    """Ten times the documents, the same peak: each size is exported by a process of its own, and its peak read from the kernel."""
    peaks = []
    for count in (10_000, 100_000):
        data["rows"].drop()
        data["rows"].insert_many([{"_id": n, "text": "x" * 200, "n": n} for n in range(count)])
        script = (
            "import logging, sys, json; from pathlib import Path; from datetime import datetime, UTC;"
            "from templates_lib.base import *; from templates_lib.data_export.template import DataExport;"
            "p = json.loads(sys.argv[1]); g = {k: ConnectionGrant(k, *v) for k, v in p['grants'].items()};"
            "c = RunContext(log=logging.getLogger(), execution_id='e', attempt=1, now=datetime.now(UTC), files=Path(p['files']), grants=g);"
            "r = DataExport().run(p['params'], c);"
            "peak = next(l for l in Path('/proc/self/status').read_text().splitlines() if l.startswith('VmHWM'));"
            "print(r.data['records_exported'], peak.split()[1])"
        )
        grants = {name: (grant.kind, dict(grant.settings)) for name, grant in ctx.grants.items()}
        payload = json.dumps({"grants": grants, "files": str(ctx.files), "params": export(format=kind)})
        made = subprocess.run([sys.executable, "-c", script, payload], capture_output=True, text=True, check=True)
        exported_count, peak = map(int, made.stdout.split())
        assert exported_count == count
        peaks.append(peak)
    assert peaks[1] < peaks[0] * 1.25, f"{peaks} KiB"


# -- email_notification -----------------------------------------------------------------------------------------------


def mail(**changes: Any) -> dict[str, Any]:
    return {
        "connection": "mail",
        "recipients": ["ada@example.com", "grace@example.com"],
        "subject": "Grüße",
        "body": "Hello **you** <b>",
        **changes,
    }


# With TLS from the start aiosmtpd itself does not know that the line is encrypted.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_mail_arrives_over_each_security_with_sign_in(ctx: Ctx, tmp_path: Path, security: str) -> None:
    inbox = Inbox()
    with mail_server(inbox, tmp_path, security=security, password="s3cret" if security != "none" else None) as grant:
        result = EmailNotification().run(mail(template="notice"), ctx(grants={"mail": grant}))
    assert result.message == "Sent 2 of 2 mails"
    assert [recipients for recipients, _ in inbox.mails] == [["ada@example.com"], ["grace@example.com"]]
    message = message_from_bytes(inbox.mails[0][1], policy=policy.default)
    assert (message["Subject"], message["To"], message["From"]) == ("Grüße", "ada@example.com", "Jobs <jobs@example.com>")
    assert (message["Message-ID"], message["Auto-Submitted"]) == ("<exec-1.0@jobwright>", "auto-generated")
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().strip() == "Hello **you** <b>"
    assert "Hello <strong>you</strong> &lt;b&gt;" in html.get_content()


def test_each_recipient_has_an_outcome(ctx: Ctx, tmp_path: Path) -> None:
    inbox = Inbox()
    with mail_server(inbox, tmp_path) as grant:
        run = lambda recipients, **more: EmailNotification().run(mail(recipients=recipients, **more), ctx(grants={"mail": grant}))
        with pytest.raises(TemplateError, match="Sent 1 of 2 mails; refused: gone@example.com") as some:
            run(["ada@example.com", "gone@example.com"])
        with pytest.raises(TemplateError) as busy:
            run(["busy@example.com"])
        with pytest.raises(TemplateError) as gone:
            run(["gone@example.com", "gone2@example.com"], individually=False)
        run(["a@example.com", "b@example.com"], individually=False)
    assert some.value.permanent, "a retry would mail Ada twice"
    assert some.value.data["recipients"] == [
        {"recipient": "ada@example.com", "status": "sent", "detail": ""},
        {"recipient": "gone@example.com", "status": "refused", "detail": "550 no such user"},
    ]
    assert (busy.value.permanent, gone.value.permanent) == (False, True)
    assert inbox.mails[-1][0] == ["a@example.com", "b@example.com"]


def test_a_wrong_password_is_permanent_and_no_server_is_not(ctx: Ctx, tmp_path: Path) -> None:
    with mail_server(Inbox(), tmp_path, security="starttls", password="right") as grant:
        wrong = ConnectionGrant("mail", "smtp", {**grant.settings, "password": "wrong"})
        with pytest.raises(TemplateError, match="refused the sign-in") as refused:
            EmailNotification().run(mail(), ctx(grants={"mail": wrong}))
        strict = ConnectionGrant("mail", "smtp", {**grant.settings, "verify_certificate": True})
        with pytest.raises(TemplateError, match="certificate") as untrusted:
            EmailNotification().run(mail(), ctx(grants={"mail": strict}))
    with pytest.raises(TemplateError, match="Nothing listens at") as away:
        EmailNotification().run(mail(), ctx(grants={"mail": grant}))
    assert (refused.value.permanent, untrusted.value.permanent, away.value.permanent) == (True, True, False)


def test_attachments_come_from_a_store_bounded(ctx: Ctx, tmp_path: Path) -> None:
    inbox = Inbox()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "report.csv").write_bytes(b"a,b\n1,2\n")
    with mail_server(inbox, tmp_path) as grant:
        grants = {"mail": grant, "files": ctx.grants["files"]}
        attach = lambda **item: mail(recipients=["a@example.com"], attachments=[{"connection": "files", **item}])
        assert "bytes each" in EmailNotification().preview(attach(path="report.csv"), ctx(grants=grants)).message
        assert inbox.mails == []
        EmailNotification().run(attach(path="report.csv", filename="Report.csv"), ctx(grants=grants))
        for path in ("missing.csv", "../x"):
            with pytest.raises(TemplateError):
                EmailNotification().run(attach(path=path), ctx(grants=grants))
    (part,) = list(message_from_bytes(inbox.mails[0][1], policy=policy.default).iter_attachments())
    assert (part.get_filename(), part.get_content()) == ("Report.csv", b"a,b\n1,2\n")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"subject": "a\r\nBcc: x@example.com"}, "/subject"),
        ({"recipients": ["a@example.com\nBcc: x@example.com"]}, "/recipients/0"),
        ({"recipients": ["a@example.com", "A@EXAMPLE.com"]}, "/recipients/1"),
        ({"recipients": ["not an address"]}, "/recipients/0"),
        ({"reply_to": "a b@c"}, "/reply_to"),
    ],
)
def test_no_header_can_be_injected(changes: dict[str, Any], pointer: str) -> None:
    found = _check(EmailNotification(), mail(**changes))
    assert [error.pointer for error in found] == [pointer]


# -- webhook_trigger --------------------------------------------------------------------------------------------------


class Hook:
    """An HTTP server that answers as `answer` says and keeps what came."""

    def __init__(self, answer: Callable[[str], tuple[int, dict[str, str], bytes]]) -> None:
        hook = self
        self.calls: list[tuple[str, str, dict[str, str], bytes]] = []

        class Handler(BaseHTTPRequestHandler):
            def handle_one(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                hook.calls.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status, headers, content = answer(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_DELETE = handle_one

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.host = f"127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    def answer(path: str) -> tuple[int, dict[str, str], bytes]:
        if path.startswith("/to/"):
            code, _, target = path.removeprefix("/to/").partition("/")
            return int(code), {"Location": target if "://" in target else f"/{target}"}, b""
        if path.startswith("/status/"):
            return int(path.rpartition("/")[2]), {}, b"as asked"
        return 200, {}, b"x" * 3_000_000 if path == "/big" else b"thanks"

    server = Hook(answer)
    yield server
    server.close()


def call(hook: Hook, path: str = "/hook", **changes: Any) -> dict[str, Any]:
    return {"url": f"http://{hook.host}{path}", "timeout": 5, **changes}


def test_the_call_is_signed_and_carries_the_idempotency_key(hook: Hook, ctx: Ctx) -> None:
    result = WebhookTrigger().run(
        call(hook, body={"ä": 1}, secret="whsec_c2VjcmV0", headers=[{"name": "X-Team", "value": "ops"}]), ctx(allowed_hosts=(hook.host,))
    )
    assert result.data["status_code"] == 200
    assert result.data["answer"] == "thanks"
    method, path, headers, body = hook.calls[0]
    assert (method, path, json.loads(body), headers["x-team"]) == ("POST", "/hook", {"ä": 1}, "ops")
    assert headers["idempotency-key"] == headers["webhook-id"] == "exec-1"
    assert headers["webhook-signature"] == sign("secret", "exec-1", int(headers["webhook-timestamp"]), body)


def test_the_signature_is_that_of_the_specification() -> None:
    # The example of the Standard Webhooks specification's reference libraries.
    signed = sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(("status", "permanent"), [(500, False), (503, False), (429, False), (408, False), (404, True), (401, True)])
def test_an_unexpected_answer_says_whether_trying_again_helps(hook: Hook, ctx: Ctx, status: int, permanent: bool) -> None:
    with pytest.raises(TemplateError, match=f"Answered {status}") as caught:
        WebhookTrigger().run(call(hook, f"/status/{status}"), ctx(allowed_hosts=(hook.host,)))
    assert (caught.value.permanent, caught.value.data["answer"]) == (permanent, "as asked")
    result = WebhookTrigger().run(call(hook, f"/status/{status}", expected_status=[status]), ctx(allowed_hosts=(hook.host,)))
    assert result.data["status_code"] == status


def test_a_huge_answer_is_cut(hook: Hook, ctx: Ctx) -> None:
    assert len(WebhookTrigger().run(call(hook, "/big"), ctx(allowed_hosts=(hook.host,))).data["answer"]) == 4000


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://0x7f.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a00:1]/",
        "http://[fe80::1]/",
        "http://[fd00::1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
    ],
)
def test_addresses_inside_are_refused(ctx: Ctx, url: str) -> None:
    with pytest.raises((TargetRefused, TemplateError)) as caught:
        WebhookTrigger().run({"url": url, "timeout": 2}, ctx())
    assert caught.value.permanent
    assert isinstance(caught.value, TargetRefused) or "is not an address" in str(caught.value)


def test_only_the_allowed_host_and_port_is_let_through(hook: Hook, ctx: Ctx) -> None:
    with pytest.raises(TargetRefused):
        WebhookTrigger().run(call(hook), ctx(allowed_hosts=("127.0.0.1:1",)))
    assert hook.calls == []
    WebhookTrigger().run(call(hook), ctx(allowed_hosts=("127.0.0.1",)))


def test_a_redirect_is_checked_like_the_first_address(hook: Hook, ctx: Ctx) -> None:
    allowed = ctx(allowed_hosts=(hook.host,))
    for target in ("http://127.0.0.1:1/", "http://169.254.169.254/"):
        with pytest.raises(TargetRefused):
            WebhookTrigger().run(call(hook, f"/to/307/{target}", follow_redirects=True), allowed)
    with pytest.raises(TemplateError, match="not HTTP"):
        WebhookTrigger().run(call(hook, "/to/307/file:///etc/passwd".replace(":///", "://x/"), follow_redirects=True), allowed)
    with pytest.raises(TemplateError, match="Answered 307"):
        WebhookTrigger().run(call(hook, "/to/307/hook"), allowed)


def test_redirects_keep_or_change_the_method_and_end(hook: Hook, ctx: Ctx) -> None:
    allowed = ctx(allowed_hosts=(hook.host,))
    WebhookTrigger().run(call(hook, "/to/307/hook", follow_redirects=True, body=1), allowed)
    WebhookTrigger().run(call(hook, "/to/303/hook", follow_redirects=True, body=1), allowed)
    assert [(method, path) for method, path, _, _ in hook.calls] == [
        ("POST", "/to/307/hook"),
        ("POST", "/hook"),
        ("POST", "/to/303/hook"),
        ("GET", "/hook"),
    ]
    with pytest.raises(TemplateError, match="more than 5 times"):
        WebhookTrigger().run(call(hook, "/to/302/" + "to/302/" * 9 + "hook", follow_redirects=True), allowed)


def test_another_origin_gets_neither_headers_nor_signature(hook: Hook, ctx: Ctx) -> None:
    other = Hook(lambda path: (200, {}, b""))
    try:
        WebhookTrigger().run(
            call(
                hook,
                f"/to/307/http://{other.host}/x",
                follow_redirects=True,
                body=1,
                secret="long enough",
                headers=[{"name": "X-Key", "value": "k"}],
            ),
            ctx(allowed_hosts=(hook.host, other.host)),
        )
        assert not {"x-key", "webhook-signature"} & set(other.calls[0][2])
        assert {"x-key", "webhook-signature"} <= set(hook.calls[0][2])
    finally:
        other.close()


def test_no_answer_and_no_server_may_be_tried_again(ctx: Ctx) -> None:
    slow = Hook(lambda path: (threading.Event().wait(2), (200, {}, b""))[1])
    try:
        with pytest.raises(TemplateError, match=r"within 0\.3 s") as late:
            WebhookTrigger().run(call(slow, timeout=0.3), ctx(allowed_hosts=(slow.host,)))
    finally:
        slow.close()
    with pytest.raises(TemplateError, match="Nothing listens at") as away:
        WebhookTrigger().run(call(slow), ctx(allowed_hosts=(slow.host,)))
    assert (late.value.permanent, away.value.permanent) == (False, False)


def test_the_webhook_preview_calls_nothing(hook: Hook, ctx: Ctx) -> None:
    preview = WebhookTrigger().preview(call(hook, body=[1], secret="long enough"), ctx())
    assert (preview.data["signed"], "Webhook-Signature" in preview.data["headers"], hook.calls) == (True, True, [])
    assert "long enough" not in str(preview.data)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"url": "ftp://x/"}, "/url"),
        ({"url": "http://u:p@example.com/"}, "/url"),
        ({"url": "http:///x"}, "/url"),
        ({"headers": [{"name": "Host", "value": "x"}]}, "/headers/0/name"),
        ({"headers": [{"name": "X", "value": "a\r\nb: c"}]}, "/headers/0/value"),
        ({"headers": [{"name": "X y", "value": "a"}]}, "/headers/0/name"),
        ({"secret": "whsec_!!!!"}, "/secret"),
        ({"timeout": 0}, "/timeout"),
    ],
)
def test_webhook_parameters_that_cannot_be(changes: dict[str, Any], pointer: str) -> None:

    found = _check(WebhookTrigger(), {"url": "https://example.com/", **changes})
    assert pointer in [error.pointer for error in found]
