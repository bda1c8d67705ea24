"""The HTTP server of a process (docs/decisions/0034-own-web-server.md). A request takes a thread only after it was received completely."""

from app.webserver.server import ProbeServer, WebServer, listen, listen_for_probes

__all__ = ["ProbeServer", "WebServer", "listen", "listen_for_probes"]
