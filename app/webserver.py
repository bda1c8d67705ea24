"""The HTTP server of a process: cheroot's threaded WSGI server."""

from __future__ import annotations

import threading

from cheroot.wsgi import Server
from werkzeug.middleware.proxy_fix import ProxyFix

from app.errors import StartError
from app.factory import create_app
from app.services import Services

MAX_HEADER_BYTES = 64_000
REQUEST_TIMEOUT_SECONDS = 10  # a client that sends its request more slowly than this keeps no thread


class WebServer:
    """Listens as the settings say; `address` is where."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        app = create_app(services)
        app.config["TRUSTED_HOSTS"] = list(settings.trusted_hosts) or None
        if settings.proxy_hops:
            hops = settings.proxy_hops
            app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
        self._server = Server(
            (settings.host, settings.port), app, numthreads=settings.web_threads, timeout=REQUEST_TIMEOUT_SECONDS,
            shutdown_timeout=5, request_queue_size=256,
        )  # fmt: skip
        self._server.max_request_header_size = MAX_HEADER_BYTES
        try:
            self._server.prepare()
        except OSError as error:
            raise StartError(f"{settings.host}:{settings.port} cannot be listened on: {error}. Set PORT to another.") from error
        host, port = self._server.bind_addr[:2]
        self.address = f"http://{host}:{port}"
        self._thread = threading.Thread(target=self._server.serve, name="web", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the requests that run, take no new ones."""
        self._server.stop()
        self._thread.join(10)
