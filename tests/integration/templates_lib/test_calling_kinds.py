"""Kinds that call others, and the one that calls nobody: health checks against real servers, the scheduler's test."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from templates_lib.base import Cancelled, ConnectionGrant, JobTemplate, TemplateError
from templates_lib.http_health_check.template import HttpHealthCheck
from templates_lib.service_call.template import ServiceCall
from templates_lib.test_scheduler.template import TestScheduler
from templates_lib.webhook_trigger.template import WebhookTrigger
from tests.running import Ctx

# -- the scheduler's test ---------------------------------------------------------------------------------------------


def test_it_beats_and_says_so(ctx: Ctx) -> None:
    result = TestScheduler().run({}, ctx())
    assert (result.message, result.data["attempt"], ctx.steps) == ("The scheduler is alive", 1, [])


def test_it_sleeps_with_progress_and_stops_when_it_is_told_to(ctx: Ctx) -> None:
    began = time.monotonic()
    TestScheduler().run({"seconds": 0.5}, ctx())
    assert 0.5 <= time.monotonic() - began < 5
    assert ctx.steps == [(0, 2), (1, 2), (2, 2)]
    threading.Timer(0.3, ctx.stop.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        TestScheduler().run({"seconds": 600}, ctx())
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("params", "error", "permanent"),
    [
        ({"outcome": "error"}, TemplateError, False),
        ({"outcome": "permanent"}, TemplateError, True),
        ({"outcome": "crash"}, RuntimeError, None),
    ],
)
def test_it_fails_as_it_is_told(params: dict[str, Any], error: type[Exception], permanent: bool | None, ctx: Ctx) -> None:
    with pytest.raises(error) as raised:
        TestScheduler().run(params, ctx())
    assert getattr(raised.value, "permanent", None) is permanent


def test_it_succeeds_at_the_attempt_it_is_told(ctx: Ctx) -> None:
    flaky = {"outcome": "flaky", "succeeds_at": 3}
    for attempt in (1, 2):
        with pytest.raises(TemplateError, match=f"Attempt {attempt} fails"):
            TestScheduler().run(flaky, ctx(attempt=attempt))
    assert TestScheduler().run(flaky, ctx(attempt=3)).data["attempt"] == 3


# -- health checks ----------------------------------------------------------------------------------------------------


class Patient:
    """An HTTP server whose state is set from outside."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.status, self.body, self.delay, self.calls = 200, b"all is well", 0.0, 0
        patient = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                patient.calls += 1
                time.sleep(patient.delay)
                status = patient.status if isinstance(patient.status, int) else patient.status[min(patient.calls, len(patient.status)) - 1]
                self.send_response(status)
                self.send_header("Content-Length", str(len(patient.body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(patient.body)

            do_HEAD = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.address = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def patient() -> Iterator[Patient]:
    made = Patient()
    yield made
    made.close()


def look(ctx: Ctx, patient: Patient, *, tries: int = 1, **check: Any) -> Any:
    return HttpHealthCheck().run(
        {"checks": [{"url": patient.address, **check}], "tries": tries}, ctx(allowed_hosts=(f"127.0.0.1:{patient.port}",))
    )


@pytest.mark.parametrize(
    ("state", "check", "words"),
    [
        ({}, {}, None),
        ({}, {"contains": "is well"}, None),
        ({"status": 302}, {"status": 302}, None),
        ({}, {"method": "HEAD"}, None),
        ({"status": 503}, {}, "answers 503"),
        ({"status": 302}, {}, "answers 302"),
        ({}, {"contains": "is ill"}, "does not contain 'is ill'"),
        ({"delay": 0.5}, {"within_seconds": 0.2}, "did not answer within 0.2 s"),
        ({"status": 404}, {"contains": "ill"}, "answers 404, does not contain"),
    ],
)
def test_each_way_to_be_well_and_not(state: dict[str, Any], check: dict[str, Any], words: str | None, ctx: Ctx, patient: Patient) -> None:
    vars(patient).update(state)
    if words is None:
        result = look(ctx, patient, **check)
        assert (result.message, result.data["errors"], result.data["checks"][0]["ok"]) == ("1 check passed", 0, True)
        return
    with pytest.raises(TemplateError) as failed:
        look(ctx, patient, **check)
    assert words in str(failed.value)
    assert (failed.value.permanent, failed.value.data["errors"]) == (False, 1)


def test_one_slip_is_none(ctx: Ctx, patient: Patient) -> None:
    patient.status = (500, 200)
    assert look(ctx, patient, tries=2).data["errors"] == 0
    assert patient.calls == 2


def test_a_server_that_is_gone_and_the_others_are_looked_at_all_the_same(ctx: Ctx, patient: Patient) -> None:
    other = Patient()
    gone = patient.address
    patient.close()
    with pytest.raises(TemplateError, match="1 of 2 checks failed") as failed:
        HttpHealthCheck().run(
            {"checks": [{"url": gone}, {"url": other.address}], "tries": 1},
            ctx(allowed_hosts=(f"127.0.0.1:{patient.port}", f"127.0.0.1:{other.port}")),
        )
    other.close()
    assert [row["ok"] for row in failed.value.data["checks"]] == [False, True]
    assert "cannot be reached" in failed.value.data["checks"][0]["words"]


def test_private_hosts_are_a_connections(ctx: Ctx, patient: Patient) -> None:
    with pytest.raises(TemplateError) as refused:
        HttpHealthCheck().run({"checks": [{"url": patient.address}]}, ctx())
    assert refused.value.permanent
    ctx.grants["api"] = ConnectionGrant("api", "http", {"hosts": [f"127.0.0.1:{patient.port}"], "plain": True, "proof": "none"})
    assert HttpHealthCheck().run({"connection": "api", "checks": [{"url": patient.address}]}, ctx()).data["errors"] == 0


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
    """A server with a certificate that is good for ten days of NOW, by an authority that this process trusts."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=10, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "cert.pem"
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    patient = Patient(context)
    yield patient
    patient.close()


def test_a_certificate_that_ends_soon(ctx: Ctx, certified: Patient) -> None:
    now = datetime.now(UTC)
    allowed = (f"127.0.0.1:{certified.port}",)
    check = lambda days: HttpHealthCheck().run(
        {"checks": [{"url": certified.address, "certificate_days": days}], "tries": 1}, ctx(now=now, allowed_hosts=allowed)
    )
    assert check(10).data["checks"][0]["certificate_days"] == 10
    with pytest.raises(TemplateError, match="certificate for 10 more days"):
        check(11)


@pytest.mark.parametrize(
    ("check", "pointer"),
    [
        ({"url": "https://u:p@a.example/"}, "/checks/0/url"),
        ({"url": "http://a.example/", "certificate_days": 5}, "/checks/0/certificate_days"),
        ({"url": "https://a.example:x/"}, "/checks/0/url"),
    ],
)
def test_what_a_check_refuses(check: dict[str, Any], pointer: str, ctx: Ctx) -> None:
    assert [one.pointer for one in HttpHealthCheck().check({"checks": [check]})] == [pointer]
    with pytest.raises(TemplateError) as refused:
        HttpHealthCheck().run({"checks": [check]}, ctx())
    assert refused.value.permanent


@pytest.mark.parametrize(
    "address", ["https://u:p@a.example/", "https://a.example:0/", "https://a.example:65536/", "https://a.example:x/", "https:///x"]
)
@pytest.mark.parametrize(
    ("kind", "params", "pointer"),
    [
        (HttpHealthCheck, lambda url: {"checks": [{"url": url}]}, "/checks/0/url"),
        (WebhookTrigger, lambda url: {"url": url}, "/url"),
        (ServiceCall, lambda url: {"connection": "c", "url": url, "job_name": "x"}, "/url"),
    ],
)
def test_an_address_that_cannot_be_called_is_refused_by_every_kind_that_calls(
    kind: type[JobTemplate], params: Callable[[str], dict[str, Any]], pointer: str, address: str, ctx: Ctx
) -> None:
    assert [one.pointer for one in kind().check(params(address))] == [pointer]
    with pytest.raises(TemplateError, match=pointer) as refused:
        kind().run(params(address), ctx())
    assert refused.value.permanent
    assert list(kind().check(params("https://a.example:65535/x"))) == []
