"""The MongoDB server of the sample shop: one that jobs may reach, which the registry's own must never be."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.config import Settings
from app.local_mongod import LocalMongod
from templates_lib.messages import Said, say
from templates_lib.private import make_folders


class SampleServer:
    """The server of JOBWRIGHT_SAMPLE_URI. If that is not set, and the registry has a private mongod, a second private mongod in the data
    folder, which runs while there is sample data."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder: Path = settings.data_path / "samples"
        self._lock = threading.Lock()
        # The kernel ends a mongod when the thread that started it ends. The thread of this pool lives as long as the process.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="sample-mongod")
        self._mongod: LocalMongod | None = None

    @property
    def files(self) -> Path:
        """The folder for the files that sample jobs write."""
        return self._folder / "files"

    @property
    def is_private(self) -> bool:
        return not self._settings.sample_uri

    def unavailable(self) -> Said | None:
        """Returns why there can be no sample data, and what to do about it; None if there can be."""
        if not self.is_private:
            return None
        if self._settings.mongodb_uri:
            return say(
                "Sample data needs a MongoDB server that jobs may use. Jobs may not use the server with the data of Jobwright itself. "
                "Set JOBWRIGHT_SAMPLE_URI to the address of another server, and restart."
            )
        if self._settings.job_user:
            return say(
                "Sample data needs a MongoDB server that jobs may use. Here, jobs run as another user (JOBWRIGHT_JOB_USER), who may not "
                "use a private server. Set JOBWRIGHT_SAMPLE_URI to the address of another server, and restart."
            )
        return None

    def uri(self) -> str:
        """Returns the address of the server, after starting it if it is private and does not run. Raises StartError."""
        if not self.is_private:
            return self._settings.sample_uri
        with self._lock:
            if self._mongod is None:
                make_folders(self._folder)
                self._mongod = LocalMongod(self._folder)
            if not self._mongod.is_up():
                self._starter.submit(self._mongod.start).result()
            return self._mongod.uri

    def discard(self, *, unless: Callable[[], bool] = lambda: False) -> None:
        """Stops a private server and deletes its data and the files of sample jobs, unless `unless` says that they are needed."""
        with self._lock:
            if not self._folder.exists() or unless():
                return
            shutil.rmtree(self.files, ignore_errors=True)
            if self.is_private:
                (self._mongod or LocalMongod(self._folder)).discard()
                self._mongod = None

    def close(self) -> None:
        """Stops a private server that this process has started."""
        with self._lock:
            if self._mongod is not None:
                self._mongod.stop()
                self._mongod = None
        self._starter.shutdown()
