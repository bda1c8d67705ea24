"""A real SMTP server with an inbox."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from templates_lib.base import ConnectionGrant


class Inbox:
    """Takes mail; refuses addresses that say so; asks for a sign-in where it was made with a password."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], bytes]] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if address.startswith("gone"):
            return "550 no such user"
        if address.startswith("busy"):
            return "450 try later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.mails.append((envelope.rcpt_tos, envelope.content))
        return "250 OK"


@contextmanager
def mail_server(inbox: Inbox, tmp_path: Path, *, security: str = "none", password: str | None = None) -> Iterator[ConnectionGrant]:
    options: dict[str, Any] = {"hostname": "127.0.0.1", "port": 0}
    if security != "none":
        key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-keyout",
                key,
                "-out",
                cert,
            ],
            check=True,
            capture_output=True,
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        options |= {"ssl_context": context} if security == "tls" else {"tls_context": context, "require_starttls": True}
    if password:

        def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
            return AuthResult(success=isinstance(data, LoginPassword) and data.password == password.encode(), handled=False)

        options |= {"authenticator": check, "auth_required": True, "auth_require_tls": security == "starttls"}

    class FreePort(Controller):
        def _trigger_server(self) -> None:
            self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
            super()._trigger_server()

    controller = FreePort(inbox, **options)
    controller.start()
    try:
        port = controller.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        settings = {
            "host": "127.0.0.1",
            "port": port,
            "security": security,
            "sender": "jobs@example.com",
            "sender_name": "Jobs",
            "verify_certificate": False,
        }
        if password:
            settings |= {"username": "u", "password": password}
        yield ConnectionGrant("mail", "smtp", settings)
    finally:
        controller.stop()
