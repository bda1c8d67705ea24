"""What is owed is sent until Jobwright judges it: signed at the moment of sending, in order, with patience."""

from __future__ import annotations

import email.utils
import random
from collections.abc import Callable, Mapping

import pytest
from jobwright_client import Keys, new_key
from jobwright_client.sender import FINAL, MOST_TRIES, Sender
from jobwright_client.state import MemoryState
from jobwright_client.transport import Answer, NoAnswer, UrllibTransport, jittered

KEY = new_key()


class Clock:
    now = 1_796_000_000.0

    def __call__(self) -> float:
        return self.now


class Scripted:
    """A transport that gives one answer after the other, and keeps the requests."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, Mapping[str, str], bytes]] = []

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float) -> Answer:
        self.sent.append((url, headers, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(status: int, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, b'{"title": "so it is"}')


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sender(transport: Scripted, clock: Callable[[], float]) -> tuple[Sender, MemoryState]:
    state = MemoryState(clock)
    made = Sender(transport, lambda: Keys([KEY]), state, clock)
    made.owe("http://x/complete", "t", {"success": True})
    return made, state


@pytest.mark.parametrize("status", sorted(FINAL))
def test_an_answer_that_judges_the_report_ends_it(status: int, clock: Clock) -> None:
    made, state = sender(Scripted(answer(status)), clock)
    assert made.send_one()
    assert state.owed() == 0
    assert not made.send_one()


@pytest.mark.parametrize("reply", [answer(401), answer(425), answer(429), answer(500), answer(503), answer(302), NoAnswer("away")])
def test_every_other_answer_and_none_puts_the_report_off(reply: Answer | Exception, clock: Clock) -> None:
    transport = Scripted(reply, answer(200))
    made, state = sender(transport, clock)
    made.send_one()
    assert not made.send_one(), "at once would be a storm"
    wait = state.next_due_seconds()
    assert wait is not None
    assert 0.5 <= wait <= 1
    clock.now += 1
    made.send_one()
    assert state.owed() == 0


def test_a_report_is_signed_when_it_is_sent_and_keeps_its_id(clock: Clock) -> None:
    transport = Scripted(NoAnswer("away"), answer(200))
    made, _ = sender(transport, clock)
    made.send_one()
    clock.now += 3600
    made.send_one()
    (_, first, body), (_, second, _) = transport.sent
    assert Keys([KEY]).verify(second, body, now=clock.now) == first["webhook-id"]
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 3600


def test_two_reports_have_two_ids(clock: Clock) -> None:
    transport = Scripted(answer(200))
    made, _ = sender(transport, clock)
    made.owe("http://x/complete", "u", {})
    made.send_one()
    made.send_one()
    assert len({headers["webhook-id"] for _, headers, _ in transport.sent}) == 2


def test_retry_after_is_kept(clock: Clock) -> None:
    made, state = sender(Scripted(answer(503, retry_after="120")), clock)
    made.send_one()
    assert state.next_due_seconds() == 120


def test_after_days_a_report_is_given_up(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobwright_client.sender.MOST_TRIES", 3)
    made, state = sender(Scripted(NoAnswer("away")), clock)
    tries = 0
    while state.owed():
        clock.now += 60
        tries += made.send_one()
    assert tries == 4
    assert MOST_TRIES > 1000


@pytest.mark.parametrize(("tries", "least", "most"), [(1, 0.5, 1), (4, 4, 8), (6, 16, 32), (7, 30, 60), (500, 30, 60)])
def test_waits_double_up_to_a_minute_with_jitter(tries: int, least: float, most: float) -> None:
    random.seed(3)
    waits = [jittered(tries) for _ in range(200)]
    assert least <= min(waits) < max(waits) <= most
    assert len(set(waits)) > 100


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("30", 30.0), ("0", 0.0), ("999999999999", 3600.0), ("-1", None), ("soon", None), ("", None), ("٣", None)],
)
def test_retry_after_in_seconds(header: str, seconds: float | None) -> None:
    assert answer(503, retry_after=header).retry_after_seconds(0.0) == seconds


@pytest.mark.parametrize(("ahead", "seconds"), [(60, 60.0), (-60, 0.0), (86_400, 3600.0)])
def test_retry_after_as_a_date(ahead: int, seconds: float) -> None:
    now = 1_796_000_000.0
    assert answer(503, retry_after=email.utils.formatdate(now + ahead, usegmt=True)).retry_after_seconds(now) == seconds


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b'{"detail": "wrong cron", "errors": [{"pointer": "/0/cronExpression", "detail": "has 4 fields"}]}',
            "422 wrong cron (/0/cronExpression: has 4 fields)",
        ),
        (b'{"title": "Refused", "errors": "x"}', "422 Refused"),
        (b"<html>", "422 <html>"),
        (b"[]", "422 []"),
        (b"", "422 "),
    ],
)
def test_a_refusal_says_what_is_wrong(body: bytes, words: str) -> None:
    assert Answer(422, {}, body).problem() == words


def test_an_address_where_nothing_listens_gives_no_answer_without_the_token() -> None:
    with pytest.raises(NoAnswer) as error:
        UrllibTransport().send("POST", "http://127.0.0.1:9/api/callbacks/secret-token/complete", {}, b"{}", 5)
    assert "http://127.0.0.1:9 does not answer" in str(error.value)
    assert "secret-token" not in str(error.value)
