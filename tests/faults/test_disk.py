"""A data folder whose disk is full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support import Service, eventually


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
def test_a_full_disk_fails_runs_in_words_and_the_service_goes_on(
    start: Callable[..., Service], registry: Any, small_disk: Path, tmp_path: Path
) -> None:
    service = start("serve", JOBWRIGHT_DATA_DIR=str(small_disk)).wait_ready()
    with service.client(service.token()) as client:
        body = {
            "name": "j",
            "template_type": "misbehave",
            "parameters": {"how": "write_here"},
            "retry_policy": {"max_retries": 0},
            "overlap": "queue",
        }
        job = client.post("/api/admin/scheduler-jobs", json=body).json()["job"]["_id"]

        def outcome() -> dict[str, Any]:
            run = client.post(f"/api/admin/scheduler-jobs/{job}/run").json()["execution_id"]
            path = f"/api/admin/job-executions/{run}"
            ended: dict[str, Any] = eventually(lambda: (e := client.get(path).json()["execution"])["status"] in {"success", "failed"} and e)
            return ended

        assert outcome()["status"] == "success"
        filler = small_disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as stream:
            while True:
                stream.write(b"x" * 4096)
        failed = outcome()
        assert (failed["status"], failed["error"]["type"]) == ("failed", "OSError")
        assert "No space left on device" in failed["error"]["message"]
        assert client.get("/ready").status_code == 200
        filler.unlink()
        assert outcome()["status"] == "success"
