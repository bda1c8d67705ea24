"""The served product with the settings of the documents, and their clients: curl and scripts."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.compat.documents import COMMANDS, NAMED, curl_lines, environment, sample
from tests.support import ADMIN, Service, eventually

SERVICE_EMAIL = "scheduler-client@example.com"
SCOPES = ["read", "write", "run", "services", "enable"]
ADDRESS = re.compile(r"http://(?:localhost|scheduler-service):(?:7005|7007|8008)")
# What TypeScript adds to JavaScript in the samples.
TYPES = re.compile(r"\bexport (?=class)| implements \w+|: JobContext|: Promise<JobResult>|(?<=result): JobResult| as JobResult")


def settings_of_the_documents() -> dict[str, str]:
    """The environment that the documents show, without what is of this machine."""
    shown = {**environment(sample(NAMED, "Environment Variables")), **environment(sample(COMMANDS, "Environment Variables"))}
    return {name: value for name, value in shown.items() if name not in {"PORT", "HOST"} and not name.endswith("_SERVICE_URL")}


def tool(name: str) -> str:
    """The path of a program that the documents use."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(f"no {name}: CI must have it")
        pytest.skip(f"no {name}")
    return path


def javascript(text: str) -> str:
    """A sample of TypeScript without its types."""
    return TYPES.sub("", text)


class Documents:
    """The served product, and who its clients are."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.address, self.admin = service.address, service.api()
        made = self.admin.post("/api/admin/users", json={"email": SERVICE_EMAIL, "role": "admin", "kind": "service"}).json()["user"]
        self.token: str = self.admin.post(f"/api/admin/users/{made['id']}/tokens", json={"name": "t", "scopes": SCOPES}).json()["text"]
        self.person: str = service.token(ADMIN)
        self._with_token = folder / "with-token"
        self._with_token.mkdir(parents=True)
        (self._with_token / ".curlrc").write_text(f'header = "Authorization: Bearer {self.token}"\n')

    def here(self, text: str, **values: str) -> str:
        """A sample with the address of this product, and with values for its placeholders."""
        text = ADDRESS.sub(self.address, text)
        for name, value in values.items():
            for placeholder in (f"<{name}>", f"{{{name}}}", f"${name}"):
                text = text.replace(placeholder.replace("_", "-") if placeholder.startswith("<") else placeholder, value)
        return text

    def curl(self, line: str, *, known: bool = False, **values: str) -> Any:
        """The JSON that a line of a document is answered with. With `known`, the configuration of curl has the token."""
        words = [tool("curl"), "-s", *shlex.split(self.here(line, **values).replace("\\\n", " "))[1:]]
        home = {"CURL_HOME": str(self._with_token), "HOME": str(self._with_token)} if known else {"CURL_HOME": "/nonexistent"}
        ran = subprocess.run(words, capture_output=True, text=True, timeout=120, env={**os.environ, **home}, check=True)
        return json.loads(ran.stdout)

    def curls(self, document: str, heading: str, number: int = 1) -> list[str]:
        """The lines of a sample that call curl."""
        return curl_lines(sample(document, heading, number))

    def node(self, script: str) -> Any:
        """The JSON that a script prints."""
        ran = subprocess.run([tool("node"), "--input-type=module", "-e", script], capture_output=True, text=True, timeout=120, check=False)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def job(self, **body: Any) -> str:
        answer = self.admin.post("/api/admin/scheduler-jobs", json={"template_type": "noop", **body})
        assert answer.status_code in {201, 409}, answer.text
        return str(self.admin.get("/api/admin/scheduler-jobs", params={"name": body["name"]}).json()["jobs"][0]["id"])

    def ended(self, execution_id: str) -> dict[str, Any]:
        """The execution once it has ended. One that fails first and waits for another attempt is a failure of the test."""

        def shown() -> dict[str, Any] | None:
            execution: dict[str, Any] = self.admin.get(f"/api/admin/job-executions/{execution_id}?wait=30").json()["execution"]
            assert execution["status"] != "retrying", execution["attempts"]
            return execution if execution["ended"] else None

        execution = eventually(shown)
        assert execution is not None
        return execution


@contextmanager
def serving(mongod: str, folder: Path, **settings: str) -> Iterator[Documents]:
    """The product with the settings of the documents and with others."""
    chosen = {**settings_of_the_documents(), **settings}
    service = Service("serve", uri=mongod, database=f"t_{uuid.uuid4().hex[:16]}", data_dir=folder / "d", warm=True, **chosen).wait_ready()
    try:
        served = Documents(service, folder)
        yield served
        served.admin.close()
    finally:
        service.stop()
