"""The texts of rules: what they say, why they are refused, and that hostile ones do no harm."""

from __future__ import annotations

import random
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.notification.rules.texts import FIELDS, MOST_BYTES, NAMES, Texts, problems, written
from app.validation.dynamic import LONGEST_TEXT

LONGEST_SECONDS = 0.2  # of processor time, for one text
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECRET = "the-key-of-the-house"
VALUES: dict[str, Any] = {
    "job.id": "j",
    "job.name": "Night <script>alert(1)</script>",
    "job.tags": ["nightly", "{{ job.id }}"] * 25,
    "execution.id": "e",
    "execution.error_type": "Boom",
    "execution.error": "y" * 1_000,
    "execution.attempts": 3,
    "execution.duration_seconds": 61.5,
    "execution.started_at": NOW,
    "log.lines": "line\n" * 800,
    "count": 2,
    "why": "The run failed.",
    "link": "https://jobs.example.com/executions/e",
    "now": NOW,
}
ATOMS = (
    *("job.name", "job.tags", "log.lines", "execution.error", "now", "count", '"x"', '""', "5", "-1e308", "why"),
    *(
        "job.__class__",
        "job.name.__class__.__mro__",
        "__import__",
        "self",
        "config",
        "previous.result",
        "execution.parameters",
        "job",
        "log",
    ),
    *(
        '"{{ job.id }}"',
        '"[[[[[["',
        '"\\ud800"',
        '"\\u0000"',
        '"%s%n"',
        '"9e999"',
        '"' + "9" * 900 + '"',
        '"' + "[" * 900 + '"',
        "$where",
        "job..id",
    ),
)
FILTERS = (
    *(
        "upper",
        "lower",
        "trim",
        "text",
        "number",
        "count",
        "date",
        "time",
        'join: ", "',
        'default: "x"',
        "plus: 1",
        "plus: 9223372036854775807",
    ),
    *(
        'format: "%Y"',
        'format: "%999999999d"',
        'format: "' + "%Y" * 100 + '"',
        'add: "-1 month"',
        'add: "99999999999 years"',
        'begin_of: "aeon"',
    ),
    *(
        'in_zone: "../../etc/passwd"',
        'in_zone: "Europe/Berlin"',
        "eval",
        "__class__",
        "attr: 1",
        'join: "' + "x" * 900 + '"',
        "join",
        "date: 1, 2, 3",
    ),
)
OPENINGS = ("{{", "{{{", "{%", "${", "#{", "{{ {{", "}}", '{{ "', '{{ now | format: "%', "\\", "\x1b[31m", "@everyone", "<!channel>")


def made(chance: random.Random) -> str:
    """Returns a hostile text."""
    parts = []
    for _ in range(chance.choice((1, 1, 2, 3, 40))):
        filters = "".join(f" | {chance.choice(FILTERS)}" for _ in range(chance.choice((0, 1, 2, 3, 60))))
        expression = f"{{{{ {chance.choice(ATOMS)}{filters} }}}}"
        if chance.random() < 0.3:
            place = chance.randrange(len(expression))
            expression = expression[:place] + chance.choice((*OPENINGS, "", "|", ":", '"')) + expression[place + chance.randrange(3) :]
        parts.append(chance.choice(("", "text ", chance.choice(OPENINGS) * chance.choice((1, 300)))) + expression)
    return "".join(parts)


def test_hostile_texts_do_not_escape_and_do_not_hang() -> None:
    chance, worst, used = random.Random(7), 0.0, 0
    for _ in range(2_000):
        source = made(chance)
        begin = time.process_time()
        refused = problems({"title": source[:500], "text": source})
        result = written(Texts(title=source[:500], text=source), VALUES)
        worst = max(worst, time.process_time() - begin)
        assert {error.pointer for error in refused} <= {"/texts/title", "/texts/text"}
        assert all(error.message and len(error.message) < 5_000 for error in refused)
        assert result.fault is None or result.fault.error
        text = (result.text or "") + (result.title or "")
        assert len(text) <= LONGEST_TEXT + 500
        text.encode()  # it can be stored and sent
        # What is not in the source and not in the values is not in the text: no object of the program, and no name of its inside.
        known = source + str(VALUES)
        assert all(found in known for found in re.findall(r"<(?:class|function|module|built-in|bound)[^>]*>|0x[0-9a-f]{6,}", text))
        used += not refused and "{{" in source
    assert worst < LONGEST_SECONDS, worst
    assert used > 50, "some of them are texts"


@pytest.mark.parametrize("source", ["{{ job.name }} " * 270, "{{ log.lines | upper }}" * 170, '{{ job.tags | join: ", " }}' * 150])
def test_the_longest_texts_are_bounded(source: str) -> None:
    assert len(source) <= MOST_BYTES
    begin = time.process_time()
    result = written(Texts(text=source), VALUES)
    assert time.process_time() - begin < LONGEST_SECONDS
    assert (result.text is None) == (result.fault is not None)
    assert len(result.text or "") <= LONGEST_TEXT


def test_texts_are_written_with_the_values_of_the_event() -> None:
    texts = Texts(
        title="{{ job.name | upper }}: {{ execution.error_type }}",
        text='{{ why }} {{ job.tags | count }} tags, {{ execution.started_at | in_zone: "Europe/Berlin" | time }} {{ "{{" }} {{ job.group | default: "-" }}',
    )
    assert problems({"title": texts.title, "text": texts.text}) == []
    result = written(texts, VALUES)
    assert result.title == "NIGHT <SCRIPT>ALERT(1)</SCRIPT>: Boom"
    assert result.text == "The run failed. 50 tags, 13:00:00 {{ -"
    assert not result.fault
    assert written(Texts(text="{{ count }}"), VALUES).text == "2"
    assert written(Texts(text="{{ job.tags }}"), {**VALUES, "job.tags": ["a"]}).text == '["a"]'
    assert written(Texts(title="Only this"), VALUES).text is None


def test_what_a_value_says_is_no_expression() -> None:
    assert written(Texts(text='{{ job.tags | join: " " }}'), {**VALUES, "job.tags": ["{{ job.id }}"]}).text == "{{ job.id }}"


@pytest.mark.parametrize("name", ["job.group", "execution.scheduled_for", "execution.error", "since", "log.error"])
def test_a_value_that_is_missing_is_a_fault_of_one_text_alone(name: str) -> None:
    values = {key: value for key, value in VALUES.items() if key != name}
    result = written(Texts(title=f"{{{{ {name} }}}}", text="{{ job.id }}"), values)
    assert (result.title, result.text) == (None, "j")
    assert result.fault is not None
    assert result.fault.field == "title"
    assert f"{name} is missing. Give it a default" in result.fault.error


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ job.nme }}", "job.nme is not known. Known names: job.id"),
        ('{{ job.nme | default: "x" }}', "job.nme is not known"),
        ("{{ previous.result.rows }}", "previous.result.rows is not known"),
        ("{{ job }}", "job is not known"),
        ("{{ job.name | shout }}", "There is no filter shout"),
        ("{{ job.name | date }}", "date cannot be used"),
        ("{{ job.name", "An expression is not closed"),
        ("{{ }}", "The expression is empty"),
        ("{{ job.name }} " * 400, "must have at most 4,096 bytes"),
        ("ü" * 2_500, "must have at most 4,096 bytes"),
        ('{{ "\\ud800" }}', "is not a text"),
    ],
)
def test_why_a_text_is_refused(source: str, words: str) -> None:
    for field in FIELDS:
        (error,) = problems({field: source})
        assert error.pointer == f"/texts/{field}"
        assert words in error.message


def test_every_name_can_be_used_and_is_documented() -> None:
    for name in NAMES:
        assert problems({"text": f"{{{{ {name} }}}}"}) == []
        assert written(Texts(text=f"{{{{ {name} }}}}"), {"now": NOW, name: "x" if name != "now" else NOW}).fault is None
    page = Path(__file__).parents[3] / "docs/reference/alert-texts.md"
    assert re.findall(r"^\| `([a-z_.]+)` \| .+ \|$", page.read_text(encoding="utf-8"), re.MULTILINE) == list(NAMES)
