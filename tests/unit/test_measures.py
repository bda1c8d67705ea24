"""What a process counts of itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from app.measures import BUCKETS, Measures, Times


def test_counts_from_many_threads_are_all_there() -> None:
    measures = Measures()
    with ThreadPoolExecutor(8) as pool:
        for _ in range(400):
            pool.submit(measures.count, "requests", "a")
            pool.submit(measures.time, "seconds", 0.2, "a")
    assert measures.counts() == {"requests": {("a",): 400}}
    times = measures.times()["seconds"][("a",)]
    assert (sum(times.counts), round(times.seconds, 6)) == (400, 80)


def test_a_duration_is_counted_in_the_first_bucket_that_holds_it() -> None:
    times = Times()
    for seconds in (-1.0, 0.0, 0.05, 0.06, 300.0, 301.0):
        times.add(seconds)
    assert (times.counts[0], times.counts[1], times.counts[-2], times.counts[-1]) == (3, 1, 1, 1)
    assert len(times.counts) == len(BUCKETS) + 1


def test_a_copy_does_not_change() -> None:
    measures = Measures()
    measures.time("seconds", 1.0)
    before = measures.times()
    measures.time("seconds", 1.0)
    assert sum(before["seconds"][()].counts) == 1
