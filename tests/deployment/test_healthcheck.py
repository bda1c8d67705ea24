"""The health check of the image, against the real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from pymongo import MongoClient

from app.demo.servers import free_port
from tests.deployment.tools import DEPLOY
from tests.support import Service


def check(**variables: str) -> int:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("JOBWRIGHT_", "PORT"))}
    script = DEPLOY / "image" / "healthcheck.py"
    return subprocess.run([sys.executable, script], env={**clean, **variables}, check=False, timeout=60).returncode


def test_it_is_good_while_the_web_server_is_ready(mongod: str, database_name: str, tmp_path: Path) -> None:
    hosts = {"JOBWRIGHT_TRUSTED_HOSTS": "jobs.example.com,other.example.com"}
    web = Service("web", uri=mongod, database=database_name, data_dir=tmp_path, warm=True, **hosts).wait_ready()
    port = web.address.rpartition(":")[2].strip("/")
    try:
        assert check(PORT=port) == 0
        assert check(PORT=str(free_port()), JOBWRIGHT_HEALTH_PORT=port) == 0, "the port of processes without a web server"
    finally:
        assert web.stop() == 0
        with MongoClient(mongod) as client:
            client.drop_database(database_name)
    assert check(PORT=port) == 1
    assert check() == 1


def test_an_answer_that_is_not_200_is_bad() -> None:
    class Stopping(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

    with HTTPServer(("127.0.0.1", 0), Stopping) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert check(PORT=str(server.server_port)) == 1
