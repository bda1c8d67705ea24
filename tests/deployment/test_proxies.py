"""The examples of proxies, in front of two real web servers: each is stopped and started again under load, and no request fails."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.demo.servers import free_port
from tests.deployment.tools import DEPLOY, run, tool
from tests.lengths import LONG
from tests.support import PATIENCE_SECONDS, Service, eventually

HOST = "jobs.example.com"
CLIENTS = 4
ROUNDS = 3 if LONG else 1  # restarts of each server
ESTABLISHED = "01"  # the state of a connection in /proc/net/tcp


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    paths = ["-keyout", folder / "key.pem", "-out", folder / "fullchain.pem"]
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *paths)
    (folder / "all.pem").write_text((folder / "fullchain.pem").read_text() + (folder / "key.pem").read_text())
    return folder


class Proxy:
    """One of the examples with addresses of this machine."""

    def __init__(self, name: str, certificate: Path, ports: list[int], folder: Path) -> None:
        self.name, self.folder, self.port, plain = name, folder, free_port(), free_port()
        text = (DEPLOY / "proxy" / {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}[name]).read_text()
        changes = {
            "/etc/ssl/jobwright": str(certificate),
            "10.0.0.11:8080": f"127.0.0.1:{ports[0]}",
            "10.0.0.12:8080": f"127.0.0.1:{ports[1]}",
            "listen 80;": f"listen 127.0.0.1:{plain};",
            "listen 443": f"listen 127.0.0.1:{self.port}",
            "bind :80": f"bind 127.0.0.1:{plain}",
            "bind :443": f"bind 127.0.0.1:{self.port}",
        }
        for old, new in changes.items():
            text = text.replace(old, new)
        assert "10.0.0." not in text
        self.plain, self.config = plain, folder / f"{name}.conf"
        if name == "nginx":
            places = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            text = (
                f"daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 2;"
                f"events {{}} http {{ access_log off; {places}\n{text}\n}}"
            )
        self.config.write_text(text)

    @property
    def words(self) -> list[str]:
        if self.name == "nginx":
            return [tool("nginx", package="nginx"), "-p", str(self.folder), "-e", str(self.folder / "error.log"), "-c", str(self.config)]
        return [tool("haproxy", package="haproxy"), "-db", "-f", str(self.config)]

    @contextmanager
    def running(self) -> Iterator[None]:
        run(*self.words, "-t" if self.name == "nginx" else "-c")
        with subprocess.Popen(self.words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                yield
            finally:
                process.terminate()


@pytest.fixture
def servers(mongod: str, database_name: str, tmp_path: Path) -> Iterator[list[Service]]:
    settings = {
        "JOBWRIGHT_PROXY_HOPS": "1",
        "JOBWRIGHT_PUBLIC_URL": f"https://{HOST}",
        "JOBWRIGHT_STRANGER_RATE": "100000",
        "JOBWRIGHT_DRAIN_NOTICE_SECONDS": "4",
    }
    made = [
        Service("web", uri=mongod, database=database_name, data_dir=tmp_path / str(port), PORT=str(port), warm=True, **settings)
        for port in (free_port(), free_port())
    ]
    for one in made:
        one.wait_ready()
    yield made
    for one in made:
        with suppress(Exception):
            one.stop()
    from pymongo import MongoClient

    with MongoClient(mongod) as client:
        client.drop_database(database_name)


class Load:
    """Requests through the proxy, from several clients at once, each with what came of it."""

    def __init__(self, address: str, verify: ssl.SSLContext, token: str) -> None:
        self.failures: list[str] = []
        self.done, self.created = 0, 0
        self._address, self._verify, self._over = address, verify, threading.Event()
        self._headers = {"Authorization": f"Bearer {token}", "Host": HOST}
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, client_number: int) -> None:
        with httpx.Client(base_url=self._address, verify=self._verify, headers=self._headers, timeout=PATIENCE_SECONDS) as client:
            number = 0
            while not self._over.is_set():
                number += 1
                try:
                    if number % 5:
                        answer = client.get("/api/admin/scheduler-jobs?limit=1", extensions={"sni_hostname": HOST})
                    else:
                        body = {"name": f"job {client_number} {number}", "template_type": "noop", "parameters": {}}
                        answer = client.post("/api/admin/scheduler-jobs", json=body, extensions={"sni_hostname": HOST})
                        self.created += answer.status_code == 201
                    if answer.status_code not in {200, 201}:
                        self.failures.append(f"{answer.status_code} {answer.text[:200]}")
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                self.done += 1


def restart(servers: list[Service], index: int, load: Load) -> None:
    """Stops one server, waits for requests that only the other one can answer, and starts it again."""
    old = servers[index]
    assert old.stop() == 0
    answered = load.done
    eventually(lambda: load.done > answered + 10 * CLIENTS)
    settings = {
        key: value for key, value in old.environment.items() if key not in {"JOBWRIGHT_DATABASE", "JOBWRIGHT_DATA_DIR", "MONGODB_URI"}
    }
    servers[index] = Service(
        "web",
        uri=old.environment["MONGODB_URI"],
        database=old.environment["JOBWRIGHT_DATABASE"],
        data_dir=old.data_dir,
        warm=True,
        **settings,
    ).wait_ready()


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_no_request_fails_while_web_servers_restart(name: str, servers: list[Service], certificate: Path, tmp_path: Path) -> None:
    proxy = Proxy(name, certificate, [int(one.environment["PORT"]) for one in servers], tmp_path)
    verify = ssl.create_default_context(cafile=str(certificate / "fullchain.pem"))
    token = servers[0].token(scopes=["read", "write"])
    address = f"https://127.0.0.1:{proxy.port}"

    def get(path: str, **headers: str) -> httpx.Response:
        with httpx.Client(base_url=address, verify=verify) as client:
            return client.get(path, headers={"Host": HOST, **headers}, extensions={"sni_hostname": HOST})

    def answers() -> bool:
        with suppress(httpx.HTTPError):
            return get("/ready").status_code == 200
        return False

    with proxy.running():
        eventually(answers)
        check_ways_in(proxy, get)
        with Load(address, verify, token) as load:
            for _ in range(ROUNDS):
                for index in range(len(servers)):
                    restart(servers, index, load)
                    # nginx forgets a failure after some seconds, HAProxy asks each second.
                    eventually(lambda index=index: is_used(servers[index]), every=0.001)
        assert load.failures == []
        assert load.created > 0
        with servers[0].api() as api:
            assert api.get("/api/admin/scheduler-jobs?limit=1").json()["total"] == load.created


def is_used(server: Service) -> bool:
    """Whether the proxy has a connection to the server at this moment, beside those for /ready."""
    port = f":{int(server.environment['PORT']):04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] == ESTABLISHED for row in rows) > 1


def check_ways_in(proxy: Proxy, get: Any) -> None:
    """TLS alone; metrics and details for nobody; what clients claim about themselves is not believed."""
    redirect = httpx.get(f"http://127.0.0.1:{proxy.plain}/jobs?q=1", headers={"Host": HOST})
    assert (redirect.status_code, redirect.headers["Location"]) == (301, f"https://{HOST}/jobs?q=1")
    assert [get(path).status_code for path in ("/metrics", "/health/detailed")] == [404, 404]
    assert get("/live", **{"X-Forwarded-For": "1.2.3.4"}).status_code == 200
    assert "Secure" in get("/sign-in").headers["Set-Cookie"]
