"""The NATS client as Jobwright uses it, for jobs and for the bus. It takes long to import: functions import this module when they need it."""

from __future__ import annotations

import ssl
from typing import Any

from nats.aio.client import Client


class NatsClient(Client):
    """A client that sends nothing to a `tls://` server before TLS protects the connection. The library goes on in plain text if the server,
    or somebody in between, does not ask for TLS; the password would be readable on its way."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection and self._current_server is not None and self._current_server.uri.scheme == "tls":
            if not (info.get("tls_required") or info.get("tls_available")):
                raise ssl.SSLError(ssl.SSL_ERROR_SSL, "the server does not offer TLS")
            info["tls_required"] = True  # the library asks no server that only allows TLS
        await super()._process_info(info, initial_connection)
