"""The HTTP server of a process (docs/decisions/0034-own-web-server.md). A request takes a thread only once it has come in whole."""

from app.webserver.server import WebServer, listen

__all__ = ["WebServer", "listen"]
