"""Settings, validation, the vault, bodies, addresses, the layout of the code."""

from __future__ import annotations

import ast
import base64
import dataclasses
import ipaddress
import re
import secrets
import socket
import threading
from pathlib import Path
from typing import Any

import httpcore
import pytest

from app.accounts.permissions import RULES, May
from app.clock import SystemClock
from app.config import Settings, load_settings
from app.connections.references import connection_references
from app.connections.vault import Vault, mask
from app.errors import ConfigError, StartError
from app.events import EVENTS, mask_secrets
from app.jobtemplates.catalogue import Catalogue
from app.jobtemplates.entry import with_defaults
from app.keys import KeyRing, load_key
from app.validation import SchemaValidator
from app.validation.secret import MASK
from templates_lib.base import JobResult, JobTemplate, RunContext
from templates_lib.net import GuardedBackend, TargetRefused, is_public
from tests.support import KEY, OTHER_KEY
from web.filters import relative, seconds

ROOT = Path(__file__).parents[2]


# -- settings ---------------------------------------------------------------------------------------------------------


def test_settings_have_defaults_and_read_their_variables(tmp_path: Path) -> None:
    assert load_settings({}) == Settings()
    secret = tmp_path / "key"
    secret.write_text(f"{KEY}\n")
    found = load_settings(
        {
            "PORT": "9000",
            "log_level": "x",
            "LOG_LEVEL": "debug",
            "JOBWRIGHT_SECRET_KEY_FILE": str(secret),
            "JOBWRIGHT_ALLOWED_HOSTS": " A.example , b:80 ",
            "JOBWRIGHT_SECURE_COOKIES": "true",
            "SCHEDULER_TIMEZONE": "Asia/Tokyo",
        }
    )
    assert (found.port, found.log_level, found.secret_key, found.allowed_hosts) == (9000, "DEBUG", KEY, ("a.example", "b:80"))
    assert (found.secure_cookies, found.timezone) == (True, "Asia/Tokyo")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "70000"),
        ("PORT", ""),
        ("LOG_LEVEL", "loud"),
        ("SCHEDULER_TIMEZONE", "Mars"),
        ("LOCK_TIMEOUT_SECONDS", "0"),
        ("JOBWRIGHT_KILL_GRACE_SECONDS", "9"),
        ("SCHEDULER_EXECUTOR_POOL_SIZE", "-1"),
        ("JOBWRIGHT_SECURE_COOKIES", "perhaps"),
        ("MONGODB_URI_FILE", "/no/such/file"),
    ],
)
def test_a_bad_value_stops_the_start_naming_the_variable(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        load_settings({name: value, "JOBWRIGHT_MAX_JOBS": "none"})
    assert "JOBWRIGHT_MAX_JOBS" in str(caught.value), "all of them are named at once"


# 29: keys that can be guessed
WEAK_KEYS = [
    " ",
    "dev",
    "changeme",
    "k" * 40,
    "changeme" * 5,
    "k" * 31,
    " " * 50,
    "0123456789abcdef" * 2,
    "abcdefghijklmnopqrstuvwxyz012345",
    "deadbeef" * 5,
    "qwertyuiopasdfghjklzxcvbnm123456",
    "please-change-this-secret-key-before-production",
    "django-insecure-development-key-0000000000",
    "PASSWORD-of-our-Scheduler-in-2026-x9",
    "12345678901234567890123456789012",
    "ab" * 30,
    "2026-01-01-2026-01-01-2026-01-01-01",
]


@pytest.mark.parametrize("key", WEAK_KEYS)
def test_a_key_that_can_be_guessed_stops_the_start(key: str, tmp_path: Path) -> None:
    """However it is given; it is not told, how to make one is."""
    path = tmp_path / "key"
    path.write_text(key)
    for given in ({"JOBWRIGHT_SECRET_KEY": key}, {"JOBWRIGHT_SECRET_KEY_FILE": str(path)}):
        with pytest.raises(ConfigError, match="JOBWRIGHT_SECRET_KEY") as caught:
            load_settings(given)
        assert key.strip() == "" or len(key) < 5 or key not in str(caught.value)
        assert "openssl rand" in str(caught.value) or "is empty" in str(caught.value)
    (tmp_path / "secret.key").write_text(key)
    with pytest.raises(StartError, match=r"secret\.key") as refused:
        load_key("", tmp_path)
    assert "JOBWRIGHT_OLD_SECRET_KEYS" in str(refused.value)


def test_keys_that_are_made_as_advised_are_taken(tmp_path: Path) -> None:
    for n in range(50):
        for key in (
            secrets.token_hex(16),
            secrets.token_hex(32),
            secrets.token_urlsafe(24),
            base64.b64encode(secrets.token_bytes(48)).decode(),
        ):
            assert load_settings({"JOBWRIGHT_SECRET_KEY": key}).secret_key == key
        made = load_key("", tmp_path / str(n))
        assert load_key("", tmp_path / str(n)) == made
        assert load_settings({"JOBWRIGHT_SECRET_KEY": made}).secret_key == made


def test_an_earlier_key_may_be_weak_as_one_must_get_away_from_it() -> None:
    """It opens what it sealed; what anybody may send, such as a cookie, it does not vouch for."""
    ring = KeyRing(KEY, load_settings({"JOBWRIGHT_OLD_SECRET_KEYS": f"dev {OTHER_KEY}"}).old_secret_keys)
    assert len(ring.derive_all("vault")) == 3
    assert ring.derive_strong("session") == [KeyRing(KEY).derive("session"), KeyRing(OTHER_KEY).derive("session")]


@pytest.mark.parametrize("secret", [" ", "changeme", "Change-Me!", "secret", "xxxx", "your_secret", "password", "********"])
def test_a_placeholder_is_no_client_secret(secret: str) -> None:
    with pytest.raises(ConfigError, match="JOBWRIGHT_OIDC_CLIENT_SECRET"):
        load_settings({"JOBWRIGHT_OIDC_CLIENT_SECRET": secret})
    assert load_settings({"JOBWRIGHT_OIDC_CLIENT_SECRET": "s3-of-a-provider"}).oidc_client_secret


@pytest.mark.parametrize("name", [item.metadata["name"] for item in dataclasses.fields(Settings) if item.metadata["secret"]])
def test_an_empty_file_is_no_secret(name: str, tmp_path: Path) -> None:
    """A secret that was not mounted would otherwise pass for one that was not set: each node would make its own key."""
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match=f"{name}_FILE"):
        load_settings({f"{name}_FILE": str(tmp_path / "empty")})


# -- validation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "value", "pointer", "message"),
    [
        ({"multipleOf": 0.01}, 4.02, None, ""),
        ({"multipleOf": 0.01}, 4.025, "", "must be a multiple of 0.01"),
        ({"type": "string", "pattern": "^a$"}, "a\n", "", "does not have the form ^a$"),
        ({"type": "string", "format": "email"}, "a@b@c", "", "must be an e-mail address"),
        ({"type": "string", "format": "email"}, "a@b.c", None, ""),
        ({"type": "string", "format": "date"}, "2026-02-30", "", "must be a date such as 2026-03-29"),
        ({"type": "integer"}, "5", "", "must be a whole number"),
        ({"type": ["string", "null"]}, 5, "", "must be text or null"),
        ({"required": ["a"], "properties": {"a": {}}}, {}, "/a", "is required"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "/b", "is required with a"),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"b/c": 1}, "/b~1c", "is not a known field"),
        ({"minLength": 3}, "ab", "", "must have at least 3 characters"),
        ({"maxLength": 1}, "ab", "", "must have at most 1 character; it has 2"),
        ({"oneOf": [{"const": 1}, {"const": 2}]}, 3, "", "must be one of 1, 2"),
        ({"enum": list(range(20))}, 99, "", "must be one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 8 more"),
        ({"const": 1}, 2, "", "must be 1"),
        ({"exclusiveMinimum": 0}, 0, "", "must be more than 0"),
        ({"exclusiveMaximum": 0}, 0, "", "must be less than 0"),
        ({"uniqueItems": True}, [1, 1], "", "has the same entry twice"),
        ({"minItems": 1}, [], "", "needs at least 1 entry"),
        ({"maxItems": 1}, [1, 2], "", "may have at most 1 entry"),
        ({"minProperties": 1}, {}, "", "must not be empty"),
        ({"minProperties": 2}, {}, "", "needs at least 2 members"),
        ({"maxProperties": 0}, {"a": 1}, "", "may have at most 0 members"),
        ({"not": {}}, 1, "", "is not allowed here (not)"),
        ({"items": {"type": "string"}}, ["a", 1], "/1", "must be text"),
        ({"anyOf": [{"type": "string"}, {"properties": {"a": {"type": "string"}}, "type": "object"}]}, {"a": 1}, None, None),
    ],
)
def test_errors_say_in_words_what_to_change_and_where(schema: Any, value: Any, pointer: str | None, message: str | None) -> None:
    found = SchemaValidator(schema).errors(value)
    if message is None:
        assert found
    else:
        assert [(error.pointer, error.message) for error in found] == ([] if pointer is None else [(pointer, message)])


def test_a_hopeless_value_gives_a_bounded_list() -> None:
    assert len(SchemaValidator({"items": {"type": "string"}}).errors(list(range(100_000)))) <= 101


# -- the vault --------------------------------------------------------------------------------------------------------

SECRETS = {
    "properties": {"s": {"type": "string", "writeOnly": True}, "list": {"items": {"properties": {"t": {"writeOnly": True}}}}, "p": {}}
}


def test_what_is_sealed_opens_only_with_its_key() -> None:
    vault = Vault(KeyRing("key"))
    sealed = vault.seal(SECRETS, {"s": "geheim", "p": 1, "list": [{"t": {"deep": 1}}]})
    assert "geheim" not in str(sealed)
    assert vault.open(sealed) == {"s": "geheim", "p": 1, "list": [{"t": {"deep": 1}}]}
    assert mask(sealed) == {"s": MASK, "p": 1, "list": [{"t": MASK}]}
    with pytest.raises(StartError, match="another key"):
        Vault(KeyRing("other")).open(sealed)
    kept = vault.seal(SECRETS, {"s": dict(MASK), "p": 2}, sealed)
    assert (kept["s"], kept["p"]) == (sealed["s"], 2)
    assert vault.keep(SECRETS, {"s": dict(MASK)}, sealed) == {"s": "geheim"}
    assert vault.keep(SECRETS, {"s": dict(MASK)}, {}) == {"s": MASK}
    assert vault.seal(SECRETS, {"s": dict(MASK)}, {}) == {"s": None}


def test_the_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(load_key("", tmp_path / "d"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
    assert (tmp_path / "d" / "secret.key").stat().st_mode & 0o777 == 0o600
    assert load_key("given", tmp_path / "d") == "given"


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("127.0.0.1", False),
        ("::", False),
        ("::1", False),
        ("fc00::1", False),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("100.127.255.255", False),
        ("198.18.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("2002:7f00:1::", False),
        ("2001:0:1::", False),
        ("ff02::1", False),
        ("192.0.2.1", False),
    ],
)
def test_which_addresses_are_of_the_internet(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_a_name_with_one_private_address_is_refused_and_the_checked_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = lambda address: (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: [entry("8.8.8.8"), entry("10.0.0.1")])
    with pytest.raises(TargetRefused, match=r"10\.0\.0\.1"):
        GuardedBackend(()).connect_tcp("rebind.example", 80)
    used: list[str] = []

    class Recording(httpcore.SyncBackend):
        def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> Any:
            used.append(host)
            raise httpcore.ConnectError("no")

    backend = GuardedBackend(("rebind.example:80",))
    backend._inner = Recording()
    with pytest.raises(httpcore.ConnectError):
        backend.connect_tcp("rebind.example", 80)
    assert used == ["8.8.8.8", "10.0.0.1"]
    with pytest.raises(TargetRefused):
        backend.connect_unix_socket("/x")


# -- the catalogue ----------------------------------------------------------------------------------------------------


def test_a_template_that_cannot_be_loaded_is_reported_and_the_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Good(JobTemplate):
        type, name, description, category, icon = "good", "Good", "d", "c", "i"
        parameters_schema = {"type": "object"}

        def run(self, params: Any, ctx: RunContext) -> JobResult:
            return JobResult("")

    class Nameless(Good):
        type, name = "nameless", ""

    class Twice(Good):
        pass

    class Wrong(Good):
        type, parameters_schema = "wrong", {"type": "array"}

    class Shapeless(Good):
        type, parameters_schema = "shapeless", {"type": "object", "properties": 3}

    class Elsewhere(Good):
        type, parameters_schema = "elsewhere", {"type": "object", "properties": {"a": {"$ref": "https://example.com/schema"}}}

    class Point:
        def __init__(self, name: str, loaded: Any) -> None:
            self.name, self._loaded = name, loaded

        def load(self) -> Any:
            if isinstance(self._loaded, Exception):
                raise self._loaded
            return self._loaded

    points = [
        Point("a", Good),
        Point("b", Nameless),
        Point("c", Twice),
        Point("d", ImportError("no such module")),
        Point("e", dict),
        Point("f", Wrong),
        Point("g", Shapeless),
        Point("h", Elsewhere),
    ]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)
    catalogue = Catalogue.discover()
    assert catalogue.types() == ["good"]
    assert set(catalogue.broken) == {"b", "c", "d", "e", "f", "g", "h"}
    assert "/properties/a/$ref" in catalogue.broken["h"]
    assert catalogue.get("good").help_text == ""
    assert not next(iter(catalogue)).previews


def test_connections_and_defaults_are_found_in_a_schema() -> None:
    schema = {
        "properties": {
            "c": {"x-options": {"from": "connections", "kind": "smtp"}},
            "n": {"default": 5},
            "rows": {"items": {"properties": {"f": {"x-options": {"from": "connections", "kind": "file_store"}}}}},
        }
    }
    value = {"c": "Mail", "rows": [{"f": "Files"}, {}]}
    assert list(connection_references(schema, value)) == [("/c", "Mail", "smtp"), ("/rows/0/f", "Files", "file_store")]
    assert with_defaults(schema, value)["n"] == 5


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "words"), [(0.5, "now"), (45, "in 45 s"), (-45, "45 s ago"), (720, "in 12 min"), (-7300, "2 h ago"), (200_000, "in 2 d")]
)
def test_relative_times(shift: float, words: str) -> None:
    from datetime import timedelta

    now = SystemClock().now()
    assert relative(now + timedelta(seconds=shift), now) == words


def test_durations() -> None:
    assert [seconds(n) for n in (None, 0.041, 12.34, 250, 7500)] == ["–", "0.04 s", "12.3 s", "4 min 10 s", "2 h 5 min"]


def test_a_field_that_sounds_secret_is_never_logged() -> None:
    assert mask_secrets(None, "", {"event": "x", "api_token": "jw_1", "Password": "p", "path": "/"}) == {
        "event": "x",
        "api_token": "***",
        "Password": "***",
        "path": "/",
    }


# -- the code and its papers ------------------------------------------------------------------------------------------


def _sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in (ROOT / folder).rglob("*.py")]


def test_a_collection_is_touched_only_by_its_store() -> None:
    collections = {
        "dynamic_jobs",
        "job_executions",
        "execution_logs",
        "users",
        "api_tokens",
        "sessions",
        "connections",
        "job_revisions",
        "audit_log",
        "run_limits",
        "calendars",
        "switches",
        "settings_seen",
        "approvals",
    }
    stores: dict[str, list[str]] = {}
    for path in _sources("app", "web"):
        used = set(re.findall(r'(?:(?:database|db)\[|Records\(database, )"(\w+)"', path.read_text())) & collections
        assert not used or path.name == "store.py" or path.name.endswith("_store.py"), f"{path} touches {used}"
        for name in used:
            stores.setdefault(name, []).append(str(path))
    assert {name: found for name, found in stores.items() if len(found) > 1} == {}
    assert set(stores) == collections


def test_code_uses_only_events_that_are_declared_and_the_docs_have_each() -> None:
    used = set()
    for path in _sources("app", "web", "migrations_scripts"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and getattr(node.func.value, "id", "") == "log"
                and node.args
            ) and isinstance(node.args[0], ast.Constant):
                used.add(node.args[0].value)
    assert used <= set(EVENTS)
    assert set(EVENTS) - used <= {"request"}, "declared and never sent"
    papers = (ROOT / "docs/reference/events.md").read_text()
    assert [name for name in EVENTS if f"`{name}`" not in papers] == []


def test_every_setting_stands_in_the_docs_with_its_default() -> None:
    from dataclasses import fields

    papers = (ROOT / "docs/reference/settings.md").read_text()
    for item in fields(Settings):
        line = next((line for line in papers.splitlines() if f"`{item.metadata['name']}`" in line), "")
        assert line, item.metadata["name"]
        default = item.default
        assert f"`{default}`" in line or default in ("", ()), f"{item.metadata['name']}: the docs give another default than {default}"
    named = set(re.findall(r"^\| `([A-Z_]+)`", papers, re.M))
    assert named == {item.metadata["name"] for item in fields(Settings)}


def test_every_permission_stands_in_the_docs_with_its_role_and_scope() -> None:
    papers = (ROOT / "docs/reference/permissions.md").read_text()
    assert set(RULES) == set(May)
    for may, rule in RULES.items():
        scope = rule.scope.value if rule.scope else "–" if rule.by_token else "no token"
        assert f"| `{may.value}` | {rule.words} | {rule.role.value} | {scope} |" in papers
    assert set(re.findall(r"^\| `([a-z.]+)`", papers, re.M)) == {may.value for may in May}


def test_every_kind_of_ours_can_be_loaded_and_has_an_icon() -> None:
    found = Catalogue.discover()
    assert found.broken == {}
    sprite = (ROOT / "web/static/icons.svg").read_text()
    assert [entry.template.icon for entry in found if f'id="{entry.template.icon}"' not in sprite] == []


def test_every_command_status_and_kind_stands_in_the_docs() -> None:
    from app.cli import cli
    from app.queue.model import Reason, Status

    reference = (ROOT / "docs/reference/cli.md").read_text()
    for name, command in cli.commands.items():
        assert f"`jobwright {name}" in reference
        for inner in getattr(command, "commands", {}):
            assert f"`jobwright {name} {inner}" in reference
    lifecycle = (ROOT / "docs/explanation/lifecycle.md").read_text()
    assert [one.value for one in (*Status, *Reason) if f"`{one.value}`" not in lifecycle] == []
    for entry in Catalogue.discover():
        readme = ROOT / "templates_lib" / entry.template.type / "README.md"
        if entry.template.category != "Tests":
            words = readme.read_text()
            assert [name for name in entry.template.parameters_schema["properties"] if f"`{name}`" not in words] == []


# -- the documents ----------------------------------------------------------------------------------------------------

_LINK = re.compile(r"\]\(([^)#\s]+)")


def test_decisions_are_numbered_once_and_without_gaps() -> None:
    papers = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [int(paper.name[:4]) for paper in papers] == list(range(1, len(papers) + 1))
    for paper in papers:
        heading = re.match(r"# (?:(\d+)\. )?\w", paper.read_text())
        assert heading is not None, paper.name
        assert heading[1] in {None, str(int(paper.name[:4]))}, paper.name


def test_links_between_documents_lead_to_files() -> None:
    for paper in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in _LINK.findall(paper.read_text()):
            in_english = Path(str(paper.parent).replace("/docs/de/", "/docs/"))  # for what is not translated
            known = any((folder / target).exists() for folder in (paper.parent, in_english))
            assert known or target.startswith(("http", "mailto:", "/")), f"{paper}: {target}"


def test_paths_of_documents_in_the_code_lead_to_files() -> None:
    for source in _sources("app", "web", "templates_lib", "migrations_scripts"):
        for target in re.findall(r"docs/[\w./-]+\.md", source.read_text()):
            assert (ROOT / target).exists(), f"{source}: {target}"
