"""Jobs as code declares them: a function with `Service.job`, or a class with ScheduledJob as its base."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, is_dataclass, replace
from typing import Any, Literal, TypedDict, Union, get_args, get_origin

from jobwright_client.context import JobContext
from jobwright_client.errors import DeclarationError, InvalidConfig
from jobwright_client.results import JobResult
from jobwright_client.schema import Member, hints_of, member, members_of, read, read_object, schema_of, to_json, unwrapped

Returned = Union[JobResult, Mapping[str, Any], None]
JobFunction = Callable[..., Union[Returned, Awaitable[Returned]]]
OnFailedItems = Literal["fail", "warn", "succeed"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NAME_WORDS = "a name has 1 to 100 letters, digits, '-', '_' and '.', and begins with a letter or digit"


@dataclass(frozen=True)
class JobOptions:
    """When a job runs, and how. What is None is left to Jobwright.

    `cron` and `interval_seconds` exclude each other; without both, the job runs only when somebody asks for it. `enabled` needs a token
    with the scope `enable`. `answer_within_seconds` is how long a call waits for the result before the run is accepted and reported later.
    """

    cron: str | None = None
    interval_seconds: int | None = None
    time_zone: str | None = None
    display_name: str | None = None
    description: str | None = None
    job_type: str | None = None
    enabled: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    timeout_seconds: int | None = None
    heartbeat_seconds: int | None = None
    on_failed_items: OnFailedItems | None = None
    max_retries: int | None = None
    retry_delay_seconds: int | None = None
    tags: Sequence[str] = ()
    group: str | None = None
    priority: int | None = None
    needs: Sequence[str] = ()
    answer_within_seconds: float = 2.0

    def problem(self) -> str | None:
        """Returns what is wrong with these options, or None."""
        if self.cron is not None and self.interval_seconds is not None:
            return "cron and interval_seconds exclude each other"
        if self.cron is not None and len(self.cron.split()) not in {5, 6} and not self.cron.startswith("@"):
            return f"cron must have 5 fields, such as '0 9 * * MON', not {self.cron!r}"
        for name in ("interval_seconds", "timeout_seconds", "heartbeat_seconds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                return f"{name} must be at least 1"
        for name in ("tags", "needs"):
            value = getattr(self, name)
            if isinstance(value, str):
                return f"{name} must be a tuple or list of texts, not {value!r}"
        return None

    def to_wire(self) -> dict[str, Any]:
        """Returns the options as they are registered, without those that are None."""
        members = {
            "displayName": self.display_name,
            "description": self.description,
            "cronExpression": self.cron,
            "intervalSeconds": self.interval_seconds,
            "timezone": self.time_zone,
            "jobType": self.job_type,
            "timeoutSeconds": self.timeout_seconds,
            "heartbeatSeconds": self.heartbeat_seconds,
            "onFailedItems": self.on_failed_items,
            "maxRetries": self.max_retries,
            "retryDelaySeconds": self.retry_delay_seconds,
            "tags": list(self.tags) or None,
            "group": self.group,
            "priority": self.priority,
            "needs": list(self.needs) or None,
        }
        return {"enabled": self.enabled, **{name: value for name, value in members.items() if value is not None}}


class OptionsByName(TypedDict, total=False):
    """The options of JobOptions by their names, so that type checkers know the arguments of `Service.job`."""

    cron: str | None
    interval_seconds: int | None
    time_zone: str | None
    display_name: str | None
    description: str | None
    job_type: str | None
    enabled: bool
    config: Mapping[str, Any]
    timeout_seconds: int | None
    heartbeat_seconds: int | None
    on_failed_items: OnFailedItems | None
    max_retries: int | None
    retry_delay_seconds: int | None
    tags: Sequence[str]
    group: str | None
    priority: int | None
    needs: Sequence[str]
    answer_within_seconds: float


@dataclass(frozen=True)
class Job:
    """A declared job: its name, its options, its function, and how its config is read."""

    name: str
    options: JobOptions
    function: JobFunction
    config_type: Any  # of `JobContext[…]`, or None
    keywords: tuple[Member, ...]  # keyword-only parameters of the function, which are its config otherwise

    def to_wire(self) -> dict[str, Any]:
        """Returns the job as it is registered."""
        body = {"name": self.name, **self.options.to_wire()}
        members = self._members()
        if members is None:
            return {**body, "config": self._given()}
        defaults = {part.wire: to_json(part.default, f"config.{part.name}") for part in members if part.default is not MISSING}
        return {**body, "config": {**defaults, **self._given()}, "configSchema": schema_of(members)}

    def read_config(self, config: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Returns the value of `context.config` and the keyword arguments of the function. Raises InvalidConfig."""
        if self.config_type is not None:
            return read(config, self.config_type, ""), {}
        return dict(config), read_object(config, list(self.keywords))

    def _given(self) -> dict[str, Any]:
        """The config of the options, as JSON."""
        return {str(name): to_json(value, f"config.{name}") for name, value in self.options.config.items()}

    def _members(self) -> list[Member] | None:
        if self.config_type is not None:
            return members_of(self.config_type)
        return list(self.keywords) or None


class ScheduledJob(ABC):
    """A job as a class: subclasses set `name` and `options` and define `execute`, which may be a coroutine function.

    `execute(self, context: JobContext[Config])` declares the type of the config.
    """

    name: str
    options: JobOptions = JobOptions()

    @abstractmethod
    def execute(self, context: JobContext[Any]) -> Returned | Awaitable[Returned]:
        """Does the work of one run and returns its result; without one, the counted items are the result."""


def declare(name: str, function: JobFunction, options: JobOptions) -> Job:
    """Returns a job that runs `function`. Its config comes from its type hints, and its description from its docstring.

    Raises DeclarationError that names the job and what is wrong with it.
    """
    if NAME.fullmatch(name) is None:
        raise DeclarationError(f"Job {name!r}: {NAME_WORDS}")
    problem = options.problem()
    if problem:
        raise DeclarationError(f"Job {name}: {problem}")
    described = options.description or inspect.getdoc(function) or ""
    first_paragraph = " ".join(described.split("\n\n")[0].split())
    options = replace(options, description=first_paragraph or None, display_name=options.display_name or _words(name))
    try:
        job = Job(name, options, function, *_config_of(function))
        job.read_config(job.to_wire()["config"])
    except InvalidConfig as error:
        raise DeclarationError(f"Job {name}: its config: {error}; give a default in the code, or a value with config=…") from error
    except DeclarationError as error:
        raise DeclarationError(f"Job {name}: {error}") from error
    except RecursionError as error:
        raise DeclarationError(f"Job {name}: a type of its config contains itself without a class; use a dataclass") from error
    return job


def declare_class(job: ScheduledJob) -> Job:
    """Returns the job of an instance of a class."""
    name = getattr(job, "name", None)
    if not isinstance(name, str):
        raise DeclarationError(f"{type(job).__name__} has no name")
    options = job.options
    if options.description is None and type(job).__doc__:
        options = replace(options, description=inspect.getdoc(type(job)))
    return declare(name, job.execute, options)


def _words(name: str) -> str:
    text = re.sub(r"[._-]+", " ", name).strip()
    return text[:1].upper() + text[1:]


def _config_of(function: JobFunction) -> tuple[Any, tuple[Member, ...]]:
    """The type of the config by the hint `JobContext[…]`, and the keyword-only parameters."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DeclarationError("it is a generator, so that its code would never run; use a function without yield")
    hints = hints_of(function)
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind not in (parameters[0].POSITIONAL_ONLY, parameters[0].POSITIONAL_OR_KEYWORD):
        raise DeclarationError("its first parameter must be the context")
    first, *others = parameters
    config_type = _config_type(first.name, hints.get(first.name, Any))
    keywords = tuple(_keyword(parameter, hints.get(parameter.name, Any)) for parameter in others)
    if config_type is not None and keywords:
        raise DeclarationError("its config is either JobContext[…] or keyword-only parameters, not both")
    return config_type, keywords


def _config_type(name: str, hint: Any) -> Any:
    """The type of the config of a context with this hint; None for a plain dict."""
    hint, _ = unwrapped(hint)
    if hint in (Any, JobContext):
        return None
    if get_origin(hint) is not JobContext:
        raise DeclarationError(f"its first parameter is the context; {name} must be a JobContext, not {hint!r}")
    config_type, _ = unwrapped(get_args(hint)[0])
    if is_dataclass(config_type) or hasattr(config_type, "__required_keys__"):
        return config_type
    plain = get_origin(config_type) or config_type
    if plain is Any or (isinstance(plain, type) and issubclass(dict, plain)):
        return None
    raise DeclarationError(f"JobContext[{config_type!r}]: the config must be a dataclass, a TypedDict or a dict")


def _keyword(parameter: inspect.Parameter, hint: Any) -> Member:
    """The field of the config that a parameter is."""
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        raise DeclarationError(f"{parameter} has no schema; name each value of the config as a keyword-only parameter")
    if parameter.kind is not parameter.KEYWORD_ONLY:
        raise DeclarationError(f"{parameter.name} must be a keyword-only parameter; write a * before it")
    return member(parameter.name, hint, MISSING if parameter.default is parameter.empty else parameter.default)
