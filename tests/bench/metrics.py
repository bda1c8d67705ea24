"""How long a scrape of the metrics takes over a large registry and a long history, how many series there are, and from which indexes the
values come."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import quantiles

from pymongo import MongoClient

from app.clock import ManualClock
from app.config import Settings
from app.factory import Store, build_services, create_probes, migrate
from app.metrics.service import CACHE_SECONDS
from app.mongo import CODEC, open_database
from app.scheduling.node_store import Heartbeat, NodeRole, NodeStore
from tests.bench.pages import Document, Questions, indexes_of, load_registry
from tests.support import KEY

JOBS, EXECUTIONS, WORKERS = 10_000, 200_000, 200
SCRAPES = 20
TARGET_MS, MOST_SERIES = 300.0, 3_000


def metrics(uri: str, folder: Path, row: Callable[..., None], *, jobs: int = JOBS, executions: int = EXECUTIONS) -> None:
    """Load the registry and let workers come and go, then scrape SCRAPES times, each time with values that are read anew."""
    questions = Questions()
    client: MongoClient[Document] = MongoClient(uri, tz_aware=True, tzinfo=UTC, event_listeners=[questions])
    store = Store(client, open_database(client, f"b_{uuid.uuid4().hex[:8]}"), None)
    try:
        migrate(store)
        settings = Settings(
            data_dir=str(folder / "metrics"),
            secret_key=KEY,
            max_jobs=jobs + 10,
            max_jobs_per_creator=jobs + 10,
            metrics_jobs=("top", "200"),
        )
        clock = ManualClock(datetime.now(UTC))
        services = build_services(settings, store, clock=clock)
        load_registry(services, store.database, jobs, executions)
        nodes = NodeStore(store.database.with_options(codec_options=CODEC))
        for number in range(WORKERS):
            beat = Heartbeat(
                host=f"pod-{number}", clock=clock.now() - timedelta(minutes=number), tick_age_seconds=0.0, role=NodeRole.WORKER
            )
            nodes.beat(f"pod-{number}", beat)
        scraper, spent, text = create_probes(services).test_client(), [], ""
        questions.listens = True
        for _ in range(SCRAPES):
            clock.advance(CACHE_SECONDS)
            began = time.perf_counter()
            text = scraper.get("/metrics").get_data(as_text=True)
            spent.append((time.perf_counter() - began) * 1000)
            questions.listens = False
        series = sum(not line.startswith("#") for line in text.splitlines())
        name = f"scrape of the metrics, {jobs:,} jobs, {executions:,} executions"
        row(f"{name}: p95 of {SCRAPES}", quantiles(spent, n=20)[-1], "ms", TARGET_MS, more_is_better=False)
        row("its series, with 200 jobs of their own and 200 workers", series, "", MOST_SERIES, more_is_better=False)
        print(f"  the first {spent[0]:.0f} ms; {len(questions.asked)} questions: {', '.join(indexes_of(store.database, questions.asked))}")
    finally:
        client.drop_database(store.database.name)
        client.close()
