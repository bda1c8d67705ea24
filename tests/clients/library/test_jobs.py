"""Jobs as code declares them, and as they are registered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

import pytest
from jobwright_client import DeclarationError, JobContext, JobOptions, JobResult, ScheduledJob, Service, Settings
from jobwright_client.jobs import OptionsByName


@dataclass
class Config:
    size: int = 5


@pytest.fixture
def service() -> Service:
    return Service("email-service", settings=Settings())


def test_a_function_is_registered_with_all_that_it_declares(service: Service) -> None:
    @service.job(
        "weekly-digest",
        cron="0 9 * * MON",
        time_zone="Europe/Berlin",
        display_name="Digest of the week",
        job_type="email",
        enabled=True,
        config={"size": 7},
        timeout_seconds=60,
        heartbeat_seconds=30,
        on_failed_items="fail",
        max_retries=2,
        retry_delay_seconds=10,
        tags=("email",),
        group="mails",
        priority=7,
    )
    def digest(context: JobContext[Config]) -> None:
        """Send the digest
        to all.

        This is for programmers.
        """

    assert service.jobs["weekly-digest"].to_wire() == {
        "name": "weekly-digest",
        "enabled": True,
        "displayName": "Digest of the week",
        "description": "Send the digest to all.",
        "cronExpression": "0 9 * * MON",
        "timezone": "Europe/Berlin",
        "jobType": "email",
        "timeoutSeconds": 60,
        "heartbeatSeconds": 30,
        "onFailedItems": "fail",
        "maxRetries": 2,
        "retryDelaySeconds": 10,
        "tags": ["email"],
        "group": "mails",
        "priority": 7,
        "config": {"size": 7},
        "configSchema": {
            "type": "object",
            "properties": {"size": {"type": "integer", "default": 5}},
            "additionalProperties": False,
        },
    }


def test_a_function_without_options_is_a_job_that_runs_when_asked(service: Service) -> None:
    @service.job("clean_up.old-files")
    def clean(context: JobContext[Any]) -> None: ...

    assert service.jobs["clean_up.old-files"].to_wire() == {
        "name": "clean_up.old-files",
        "enabled": False,
        "displayName": "Clean up old files",
        "config": {},
    }
    assert clean.__name__ == "clean"


def test_keyword_only_parameters_are_the_config(service: Service) -> None:
    @service.job("crawl", config={"batch": 9})
    def crawl(context: JobContext[Any], *, batch: Annotated[int, "Pages per run."], deep: bool = False) -> None: ...

    wire = service.jobs["crawl"].to_wire()
    assert wire["config"] == {"batch": 9, "deep": False}
    assert wire["configSchema"]["properties"]["batch"] == {"type": "integer", "description": "Pages per run."}
    assert wire["configSchema"]["required"] == ["batch"]


def test_a_class_is_a_job_with_its_docstring_as_description(service: Service) -> None:
    class Recap(ScheduledJob):
        """Write the recap of the month."""

        name = "monthly-recap"
        options = JobOptions(cron="0 10 1 * *", job_type="email")

        def execute(self, context: JobContext[Config]) -> JobResult:
            return JobResult(items_processed=context.config.size)

    service.add(Recap())
    wire = service.jobs["monthly-recap"].to_wire()
    assert wire["description"] == "Write the recap of the month."
    assert wire["displayName"] == "Monthly recap"
    assert wire["config"] == {"size": 5}


def declared(name: str = "job", function: Any = None, **options: Any) -> None:
    def nothing(context: JobContext[Any]) -> None: ...

    Service("s", settings=Settings()).job(name, **options)(function or nothing)


def no_parameters() -> None: ...
def a_second(context: JobContext[Any], other: int) -> None: ...
def both(context: JobContext[Config], *, other: int = 1) -> None: ...
def without_default(context: JobContext[Any], *, size: int) -> None: ...
def of_bytes(context: JobContext[Any], *, size: bytes = b"") -> None: ...
def unknown(context: JobContext[Any], *, size: Missing = 1) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def broken_hint(context: JobContext[Any], *, size: "1 / 0" = 1) -> None: ...  # type: ignore[valid-type]  # noqa: UP037
def hint_of_a_list(context: JobContext[Any], *, sizes: [int] = ()) -> None: ...  # type: ignore[valid-type]
def not_a_number(context: JobContext[Any], *, share: float = float("nan")) -> None: ...
def any_values(context: JobContext[Any], **values: Any) -> None: ...
def no_context(readers: int) -> None: ...
def config_of_numbers(context: JobContext[int]) -> None: ...
def generator(context: JobContext[Any]) -> Any:
    yield 1


class TypeAliasType:
    """What the statement `type Endless = list[Endless]` makes, in newer Pythons."""

    __value__: Any


Endless: Any = TypeAliasType()
Endless.__value__ = list[Endless]


def endless(context: JobContext[Any], *, tree: Endless = ()) -> None: ...


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": ""}, "1 to 100 letters"),
        ({"name": "a b"}, "1 to 100 letters"),
        ({"name": "../x"}, "1 to 100 letters"),
        ({"name": "-x"}, "begins with a letter"),
        ({"name": "x" * 101}, "1 to 100 letters"),
        ({"cron": "0 9 * *"}, "cron must have 5 fields"),
        ({"cron": "0 9 * * *", "interval_seconds": 60}, "exclude each other"),
        ({"interval_seconds": 0}, "interval_seconds must be at least 1"),
        ({"timeout_seconds": -1}, "timeout_seconds must be at least 1"),
        ({"crom": "0 9 * * *"}, "crom"),
        ({"function": no_parameters}, "first parameter must be the context"),
        ({"function": a_second}, "other must be a keyword-only parameter"),
        ({"function": both}, "not both"),
        ({"function": without_default}, "/size: is required; give a default"),
        ({"function": without_default, "config": {"size": "x"}}, "/size: must be a whole number"),
        ({"function": of_bytes}, "config.size: the value b'' has no form in JSON"),
        ({"function": unknown}, "Missing"),
        ({"function": unknown}, "not under TYPE_CHECKING"),
        ({"function": broken_hint}, "Job job: broken_hint: a type hint cannot be read"),
        ({"function": hint_of_a_list}, "config.sizes: [<class 'int'>] has no form in JSON"),
        ({"function": not_a_number}, "config.share: nan is not a number of JSON"),
        ({"function": any_values}, "has no schema; name each value"),
        ({"function": no_context}, "readers must be a JobContext, not <class 'int'>"),
        ({"function": config_of_numbers}, "the config must be a dataclass, a TypedDict or a dict"),
        ({"function": generator}, "it is a generator"),
        ({"function": endless}, "contains itself"),
        ({"config": {"at": object()}}, "config.at: the value <object"),
        ({"config": {"share": float("inf")}}, "config.share: inf is not a number of JSON"),
        ({"tags": "email"}, "tags must be a tuple or list"),
        ({"options": JobOptions(), "cron": "0 9 * * *"}, "not both"),
    ],
)
def test_a_wrong_declaration_is_refused_when_the_program_starts(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(DeclarationError) as error:
        declared(**arguments)
    assert words in str(error.value)


def test_type_checkers_know_each_option() -> None:
    assert get_type_hints(OptionsByName) == get_type_hints(JobOptions)


def test_a_job_is_declared_once(service: Service) -> None:
    for name in ("a", "b"):
        service.job(name)(lambda context: None)
    with pytest.raises(DeclarationError, match="Job a is declared twice"):
        service.job("a")(lambda context: None)


def test_a_class_without_a_name_is_refused(service: Service) -> None:
    class Nameless(ScheduledJob):
        def execute(self, context: JobContext[Any]) -> None: ...

    with pytest.raises(DeclarationError, match="Nameless has no name"):
        service.add(Nameless())


@pytest.mark.parametrize("name", ["", "a/b", "ä"])
def test_a_service_has_a_name_that_fits_into_an_address(name: str) -> None:
    with pytest.raises(DeclarationError, match="1 to 100 letters"):
        Service(name, settings=Settings())


# -- settings --------------------------------------------------------------------------------------------------------


def test_settings_come_from_the_environment_and_from_files(tmp_path: Any) -> None:
    (tmp_path / "token").write_text("jw_abc\n")
    settings = Settings.from_environment(
        {
            "JOBWRIGHT_URL": "https://jobwright.example.com/",
            "JOBWRIGHT_TOKEN_FILE": str(tmp_path / "token"),
            "JOBWRIGHT_SIGNING_KEYS": "whsec_YQ==, whsec_Yg==",
            "JOBWRIGHT_SERVICE_ADDRESS": "http://email:7006/",
        }
    )
    assert settings.url == "https://jobwright.example.com"
    assert settings.token == "jw_abc"
    assert settings.signing_keys == ("whsec_YQ==", "whsec_Yg==")
    assert settings.address == "http://email:7006"
    assert "jw_abc" not in repr(settings)
    assert "whsec" not in repr(settings)


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"JOBWRIGHT_URL": "jobwright:8080", "JOBWRIGHT_TOKEN": "x"}, "url must begin with http"),
        ({"JOBWRIGHT_URL": "http://jobwright"}, "set JOBWRIGHT_TOKEN"),
        ({"JOBWRIGHT_TOKEN_FILE": "/nowhere/token"}, "JOBWRIGHT_TOKEN_FILE: /nowhere/token cannot be read"),
        ({"JOBWRIGHT_TOKEN_FILE": "/x", "JOBWRIGHT_TOKEN": "y"}, "not both"),
        ({"JOBWRIGHT_SERVICE_ADDRESS": "email:7006"}, "address must begin"),
    ],
)
def test_a_wrong_setting_stops_the_start_with_its_name(variables: dict[str, str], words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        Settings.from_environment(variables)


@pytest.mark.parametrize("values", [{"ttl_seconds": 9}, {"ttl_seconds": 86_401}, {"most_running": 0}])
def test_numbers_out_of_their_bounds_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(DeclarationError, match=next(iter(values))):
        Settings(**values)  # type: ignore[arg-type]
