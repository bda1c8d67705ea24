"""README, followed step by step: its own commands are run, and its own words are pressed, typed and looked for.

In a step of the tour, **bold** is a button, link or switch to press (of a card, where one is named), `code` as *label* is what to type into a field, “quoted” is what the
page shows then, and a line of a console is a command. A word that changes in README or in the product, and not in both, fails here.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import PATIENCE_MS, inaccessible
from tests.support import PATIENCE_SECONDS, eventually
from tests.unit.project.sources import ROOT

README = (ROOT / "README.md").read_text("utf-8")
TUTORIAL = (ROOT / "docs/tutorial/first-job.md").read_text("utf-8")
HOUR = (ROOT / "docs/tutorial/first-hour.md").read_text("utf-8")
MOST_INTERACTIONS = 9  # from the sign-in page to a job with a schedule
TOKEN = re.compile(
    r"[Ss]witch \*\*(?P<off>[^*]+)\*\* off|\*\*(?P<press>[^*]+)\*\*(?: on the card \*(?P<card>[^*]+)\*)?|`(?P<text>[^`]+)` as \*(?P<label>[^*]+)\*|“(?P<shown>[^”]+)”|^ *\$ (?P<command>.+)$",
    re.M,
)


def section(document: str, title: str) -> str:
    """The text of a section."""
    return document.split(f"\n## {title}\n")[1].split("\n## ")[0]


def steps(text: str) -> list[str]:
    """The numbered steps of a text. What is indented below a step belongs to it."""
    parts = re.split(r"^\d+\. ", text, flags=re.M)[1:]
    return [re.split(r"\n\n(?! )", part)[0] for part in parts]


@dataclass
class Installation:
    """What a newcomer has in front of them: a terminal in which Jobwright runs."""

    environment: dict[str, str]
    terminal: int
    shown: str = ""

    def read_until(self, text: str) -> None:
        while text not in self.shown:
            self.shown += os.read(self.terminal, 65536).decode(errors="replace").replace("\r", "")

    def told(self, pattern: str) -> str:
        match = re.search(pattern, self.shown)
        assert match, self.shown
        return match[1]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    """`make run` as README has it, on a free port and in a folder of its own."""
    (command,) = re.findall(r"^\$ (make run.*)$", section(README, "Quick start"), re.M)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("JOBWRIGHT_", "MONGODB_", "MAKE"))}
    environment = {**clean, "HOST": "127.0.0.1", "PORT": port, "JOBWRIGHT_DATA_DIR": str(tmp_path / "data"), "TZ": "UTC"}
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        shlex.split(command), cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    running = Installation(environment, ours)
    try:
        running.read_until("to stop.")
        yield running
    finally:
        os.killpg(process.pid, 2)  # what Ctrl-C does
        process.wait(60)
        os.close(ours)
    assert not (tmp_path / "data" / "mongod.pid").exists(), "it has stopped its MongoDB"


@dataclass
class Reader:
    """Somebody who does what a step says, and nothing else."""

    page: Page
    environment: dict[str, str]
    interactions: int = 0
    scheduled_after: int | None = None
    ran: list[str] = field(default_factory=list)

    def sign_in(self, running: Installation) -> None:
        self.page.goto(running.told(r"Jobwright is at (\S+)"))
        self.page.get_by_label("E-mail").fill(running.told(r"Sign in as (\S+) with"))
        self.page.get_by_label("Password", exact=True).fill(running.told(r"with the password (\S+) "))
        self.page.get_by_role("button", name="Sign in", exact=True).click()
        expect(self.page.get_by_role("heading", name="Dashboard", exact=True)).to_be_visible()
        self.interactions += 3

    def follow(self, step: str) -> None:
        for token in TOKEN.finditer(step):
            if token["off"]:
                self.page.get_by_label(token["off"], exact=True).uncheck()
            elif token["press"]:
                self._named(f"{token['press']} {token['card']}" if token["card"] else token["press"]).click()
            elif token["text"]:
                self._enter(self.page.get_by_label(re.compile(rf"^{token['label']}( optional)?$")), token["text"])
            elif token["shown"]:
                expect(self.page.get_by_text(token["shown"]).first).to_be_visible()
                continue
            else:
                self._run(token["command"])
                continue
            self.interactions += 1
            if token["press"] == "Create job":
                self.scheduled_after = self.interactions

    @staticmethod
    def _enter(control: Locator, text: str) -> None:
        if control.evaluate("node => node.tagName") == "SELECT":
            control.select_option(label=text)
        else:
            control.fill(text)

    def _named(self, name: str) -> Locator:
        """The button or link of this name that is to be seen, or else what opens a menu of this name."""

        def found() -> Locator | None:
            summary = self.page.locator("summary").filter(has_text=re.compile(rf"^\s*{re.escape(name)}\s*$"))
            summary = summary.or_(self.page.locator(f'summary[aria-label="{name}"]'))
            places = [*(self.page.get_by_role(role, name=name, exact=True) for role in ("button", "link")), summary]
            return next((element for place in places for element in place.all() if element.is_visible()), None)

        return eventually(found)

    def _run(self, command: str) -> None:
        done = subprocess.run(
            shlex.split(command), cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
        )
        assert done.returncode == 0, done.stderr
        self.ran.append(done.stdout)


@pytest.fixture
def reader(chromium: Browser, installation: Installation) -> Iterator[Reader]:
    context = chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 860}, bypass_csp=True)  # for axe-core
    context.set_default_timeout(PATIENCE_MS)
    reader = Reader(context.new_page(), installation.environment)
    reader.sign_in(installation)
    yield reader
    context.close()


def test_the_tour_works_to_the_letter(reader: Reader) -> None:
    tour = steps(section(README, "Tour"))
    assert len(tour) == 8
    for step in tour[:-1]:
        reader.follow(step)
    assert reader.scheduled_after is not None
    assert reader.scheduled_after <= MOST_INTERACTIONS
    listed, exported = reader.ran
    assert "Nightly cleanup" in listed
    assert "Exporting 858 documents" in exported
    reader.follow(tour[-1])
    reader.page.goto(f"{reader.page.url.rstrip('/')}/jobs")
    expect(reader.page.get_by_text("Nightly cleanup")).to_have_count(0)


def test_the_tutorial_works_to_the_letter(reader: Reader) -> None:
    reader.interactions = 0
    for step in steps(TUTORIAL):
        reader.follow(step)
    assert reader.scheduled_after is not None
    count = re.search(r"(\d+) clicks and fields", TUTORIAL)
    assert count, "the tutorial says how many there are"
    assert reader.scheduled_after <= int(count[1]) <= MOST_INTERACTIONS - 3


def test_the_first_pages_are_for_everybody(reader: Reader, installation: Installation) -> None:
    """The dashboard with sample data, the page that removes it, and the empty dashboard: on a phone and at night, too."""
    page, address = reader.page, installation.told(r"Jobwright is at (\S+)")

    def look(path: str) -> None:
        for width, scheme in ((1280, "light"), (390, "dark")):
            page.set_viewport_size({"width": width, "height": 860})
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.goto(f"{address}{path}")
            assert inaccessible(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than {width} pixels"

    look("/")
    look("/sample-data")
    page.get_by_role("button", name="Remove sample data", exact=True).click()
    expect(page.get_by_role("heading", name="Three steps to your first job")).to_be_visible()
    look("/")
    look("/sample-data")
    page.goto(address)
    page.get_by_role("button", name="Create sample data", exact=True).click()
    expect(page.get_by_text("This installation contains sample data")).to_be_visible()


def test_readme_is_at_most_two_screens_and_names_the_commands_that_matter() -> None:
    assert len(README.splitlines()) <= 90
    assert len(re.findall(r"^!\[", README, re.M)) == 1, "one picture"
    quick = section(README, "Quick start")
    assert "make run SAMPLE=1" in quick
    assert "`make test`" in quick
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    named = set(re.findall(r"[`$ ]make ([a-z-]+)", README))
    assert named <= rules
    commands = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    duration = re.search(r"`make test`\. It takes (about \d+ minutes)", README)
    assert duration
    assert re.search(rf"make test .*{duration[1]}", commands), "README and the list of commands say the same"


def test_the_first_hour_of_an_admin(reader: Reader) -> None:
    """Each exercise, in order. What follows the steps of an exercise is not for the hands."""
    parts = re.split(r"^## Minutes [^\n]+\n", HOUR, flags=re.MULTILINE)[1:]
    assert len(parts) == 6
    for part in parts:
        for step in steps(part.partition("\n\n**Check.**")[0]):
            reader.follow(step)
    reader.page.goto(re.sub(r"(https?://[^/]+).*", r"\1/jobs", reader.page.url))
    expect(reader.page.get_by_role("link", name="My first job", exact=True)).to_be_visible()
    expect(reader.page.get_by_role("link", name="A job that fails", exact=True)).to_be_visible()
    expect(reader.page.get_by_text("Remove inactive customers")).to_have_count(0)
