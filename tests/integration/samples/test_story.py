"""The invented history of the sample jobs says what their real runs say."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.jobtemplates.catalogue import Catalogue
from app.samples import shop
from app.samples.history import refusal
from app.samples.jobs import FILES, JOBS, REPORT, SHOP, SampleJob
from app.sandbox.protocol import End, Limits, Log, Start
from app.sandbox.template_call import LogHandler, ProgressReport, call_template
from tests.running import NOW, Data

Real = Callable[[SampleJob], tuple[End, list[tuple[str, str]]]]
LIMITS = Limits(memory_bytes=1 << 30, cpu_seconds=60, open_files=100, file_bytes=1 << 30, processes=10, result_bytes=1 << 20)


@contextmanager
def heard(lines: list[tuple[str, str]]) -> Iterator[logging.Logger]:
    """A logger whose lines are kept."""

    def keep(line: Log) -> None:
        lines.append((line.level, line.text))

    logger, handler = logging.getLogger("sample job"), LogHandler(keep)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


@pytest.fixture
def really(data: Data, mongod: str, catalogue: Catalogue, tmp_path: Path) -> Real:
    """Runs a sample job on a sample shop."""

    def run(sample: SampleJob) -> tuple[End, list[tuple[str, str]]]:
        shop.fill(mongod, data.name, now=NOW, failing_hour=0)
        entry, lines = catalogue.find(sample.template), list[tuple[str, str]]()
        assert entry is not None
        start = Start(
            execution_id="e",
            attempt=1,
            now=NOW.isoformat(),
            files=str(tmp_path),
            parameters=sample.parameters,
            connections={SHOP: ("mongodb", {"uri": mongod, "database": data.name}), FILES: ("file_store", {"path": str(tmp_path)})},
            folders=(),
            allowed_hosts=(),
            own=("", ""),
            dry=False,
            begin_until=0.0,
        )
        with heard(lines) as log:
            end = call_template(
                entry.template, start, log=log, report=ProgressReport(lambda _: None), stop=threading.Event(), limits=LIMITS
            )
        return end, lines

    return run


@pytest.mark.parametrize("sample", JOBS, ids=lambda sample: sample.template)
def test_a_run_of_the_past_tells_what_a_real_run_tells(sample: SampleJob, really: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop, "BAD_HOURS", ())
    end, lines = really(sample)
    assert end.error is None
    told = sample.told(NOW, 0)
    assert list(told.lines) == lines
    assert told.result is not None
    assert end.result is not None
    assert comparable(told.result) == comparable(end.result)


def comparable(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result without what depends on the dates and the hour of its run: the digest of a file, and the exact size of a report."""
    told = {name: len(value) if name == "sha256" else value for name, value in result.items()}
    return told | {"files": [(file["path"], round(file["bytes"], -3)) for file in told.get("files", ())]}


def test_a_failure_of_the_past_tells_what_a_real_failure_tells(really: Real, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop, "BAD_HOURS", tuple(range(24)))
    report = next(sample for sample in JOBS if sample.name == REPORT)
    end, lines = really(report)
    told = report.told(NOW, 0)
    assert told.error is not None
    assert list(told.lines) == lines
    stored = refusal(told.error).as_stored()
    assert end.error == {name: value for name, value in stored.items() if name != "kind"}
