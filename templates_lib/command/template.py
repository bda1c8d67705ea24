"""Starts a program of the list of this installation, without a shell."""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from templates_lib import fields
from templates_lib.base import JobResult, JobTemplate, Problem, Program, RunContext, TemplateError
from templates_lib.command.environment import environment, name_problem
from templates_lib.command.output import Output
from templates_lib.command.process import Command, Ended, run_command
from templates_lib.command.programs import Account, refusal, resolved_folder
from templates_lib.masks import Mask
from templates_lib.messages import Said, joined, say

SETTING = "JOBWRIGHT_COMMAND_PROGRAMS"
MOST_ARGUMENT_BYTES = 1_000_000  # all arguments and variables together; Linux takes 2 MiB, and 128 KiB of one of them (execve(2))
MOST_ONE_BYTES = 128 * 1024 - 1
_NO_NUL = r"^[^\x00]*$"
_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_HINTS: dict[int, Said] = {
    signal.SIGKILL: say("the machine may be out of memory"),
    signal.SIGXCPU: say("it used more processor time than the limit allows (JOBWRIGHT_JOB_CPU_SECONDS)"),
    signal.SIGXFSZ: say("it wrote a larger file than the limit allows (JOBWRIGHT_JOB_FILE_MB)"),
}


def _variables(title: str, description: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the schema of variables, each by its name."""
    return {
        "type": "object",
        "title": title,
        "description": description,
        "propertyNames": {"pattern": _NAME},
        "additionalProperties": {"type": "string", "title": "Value", "maxLength": 32_000, "pattern": _NO_NUL, **value},
        "maxProperties": 100,
        "x-item-title": "Variable",
        "x-add-text": "Set variables",
    }


class RunCommand(JobTemplate):
    """A program, its arguments and its environment. The list of programs is a setting, so that no account can extend it."""

    type = "command"
    name = "Command"
    description = "Start a program of this machine, without a shell"
    category = "Integration"
    icon = "terminal"
    risk_level = "high"
    destructive = True
    estimated_duration = "minutes"
    resource_usage = "medium"
    needs_setting = SETTING
    parameters_schema: ClassVar[Mapping[str, Any]] = {
        "$schema": fields.DIALECT,
        "type": "object",
        "properties": {
            "program": {
                "type": "string",
                "title": "Program",
                "minLength": 2,
                "maxLength": 1000,
                "pattern": r"^/[^\x00]+$",
                "x-pattern-words": "an absolute path",
                "description": "The operator of this installation decides which programs jobs may start.",
                "x-options": {"from": "programs"},
            },
            "arguments": {
                "type": "array",
                "title": "Arguments",
                "description": "Each entry is one argument, exactly as it is typed. There is no shell: `*`, `|`, `>` and `$NAME` have no special meaning.",
                "x-dynamic": True,
                "maxItems": 500,
                "items": {"type": "string", "title": "Argument", "maxLength": 32_000, "pattern": _NO_NUL},
                "x-placeholder": "--verbose",
            },
            "folder": {
                "type": "string",
                "title": "Working folder",
                "minLength": 1,
                "maxLength": 1000,
                "pattern": r"^/[^\x00]*$",
                "x-pattern-words": "an absolute path",
                "description": "Leave empty to use a new folder, which is deleted after the run.",
                "x-options": {"from": "command_folders", "free": True},
            },
            "environment": _variables(
                "Environment variables", "Variables for the program. It gets none of the service.", {"x-dynamic": True}
            ),
            "secrets": _variables(
                "Secret environment variables",
                "Variables whose values are secret. They are masked in the log.",
                {"title": "Secret", "minLength": 1, "writeOnly": True},
            ),
            "input": {
                "type": "string",
                "title": "Standard input",
                "description": "Text that the program reads. Leave empty for none.",
                "maxLength": 1_000_000,
                "x-widget": "textarea",
                "x-dynamic": True,
            },
            "exit_codes": {
                "type": "array",
                "title": "Exit codes",
                "x-section": "Outcome, log and files",
                "description": "The meaning of exit codes. Without an entry, 0 is success and any other exit code is a failure.",
                "maxItems": 50,
                "x-destination": False,
                "items": {
                    "type": "object",
                    "title": "Exit code",
                    "properties": {
                        "code": {"type": "integer", "title": "Exit code", "minimum": 0, "maximum": 255, "x-width": "half"},
                        "meaning": {
                            "title": "Meaning",
                            "x-width": "half",
                            "oneOf": [
                                {"const": "success", "title": "Success"},
                                {"const": "warning", "title": "Success with a warning"},
                                {"const": "skipped", "title": "Success: there was nothing to do"},
                                {"const": "failure", "title": "Failure: retry"},
                                {"const": "permanent", "title": "Failure: do not retry"},
                            ],
                        },
                    },
                    "required": ["code", "meaning"],
                    "additionalProperties": False,
                },
            },
            "error_output": {
                "title": "Standard error",
                "x-section": "Outcome, log and files",
                "default": "warning",
                "x-destination": False,
                "description": "The level of its lines in the log.",
                "oneOf": [
                    {"const": "info", "title": "Information"},
                    {"const": "warning", "title": "Warnings"},
                    {"const": "error", "title": "Errors"},
                    {"const": "failure", "title": "Errors: the run fails if there are any"},
                ],
            },
            "umask": {
                "title": "Rights of new files",
                "x-section": "Outcome, log and files",
                "default": "077",
                "x-destination": False,
                "oneOf": [
                    {"const": "077", "title": "Only the owner can read and write them (umask 077)"},
                    {"const": "027", "title": "The group can read them (umask 027)"},
                    {"const": "022", "title": "Everyone can read them (umask 022)"},
                    {"const": "002", "title": "The group can write them (umask 002)"},
                ],
            },
        },
        "required": ["program"],
        "examples": [{"program": "/usr/bin/rsync", "arguments": ["-a", "--delete", "/srv/shop/", "/mnt/backup/shop/"]}],
        "additionalProperties": False,
    }

    def check(self, params: Mapping[str, Any]) -> Iterable[Problem]:
        """Returns names of variables that no job may set, and exit codes with two meanings."""
        for member in ("environment", "secrets"):
            for name in params.get(member, {}):
                problem = name_problem(name)
                if problem is not None:
                    yield Problem(f"/{member}/{name}", problem)
        for name in params.get("secrets", {}):
            if name in params.get("environment", {}):
                yield Problem(f"/secrets/{name}", say("{name} is in both lists of variables", name=name))
        codes = [entry["code"] for entry in params.get("exit_codes", ())]
        for place, code in enumerate(codes):
            if code in codes[:place]:
                yield Problem(f"/exit_codes/{place}/code", say("has two meanings"))

    def programs(self, params: Mapping[str, Any]) -> Iterable[Program]:
        """Returns the program of a job, so that people are warned if no run may start it."""
        yield Program("/program", str(params["program"]))

    def preview(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        """Returns the command as it would be started, and starts nothing. Raises TemplateError if a run could not start it."""
        command, mask = self._command(params, ctx)
        chosen = {*params.get("environment", {}), *params.get("secrets", {})}
        variables = {name: mask.text(value) for name, value in command.environment.items() if name in chosen}
        return JobResult(
            f"Would start {params['program']}",
            {
                "command": mask.text(shlex.join(command.arguments)),
                "program": command.program,
                "arguments": [mask.text(argument) for argument in command.arguments[1:]],
                "folder": command.folder,
                "environment": {**variables, **dict.fromkeys(params.get("secrets", {}), "***")},
                "input_characters": len(command.text),
            },
        )

    def run(self, params: Mapping[str, Any], ctx: RunContext) -> JobResult:
        command, mask = self._command(params, ctx)
        ctx.log.info("%s", mask.text(shlex.join(command.arguments)))
        level = _LEVELS.get(params.get("error_output", "warning"), logging.ERROR)
        output = Output(ctx, mask, error_level=level)
        return _result(params, run_command(command, ctx, output), output, ctx)

    def _command(self, params: Mapping[str, Any], ctx: RunContext) -> tuple[Command, Mask]:
        """Returns the command of a run, and what masks its secrets. Raises TemplateError (permanent) if the run may not start it."""
        self.insist(params)
        program = _allowed_program(params["program"], ctx)
        secrets: Mapping[str, str] = params.get("secrets", {})
        variables = environment(ctx, params.get("environment", {}), secrets)
        folder = _allowed_folder(params["folder"], ctx) if params.get("folder") else str(ctx.files)
        if variables["HOME"] != str(ctx.files):
            variables["HOME"] = _allowed_folder(variables["HOME"], ctx)
        arguments = [params["program"], *params.get("arguments", ())]
        whole = [*arguments, *(f"{name}={value}" for name, value in variables.items())]
        sizes = [len(os.fsencode(text)) if text.isascii() else len(text.encode("utf-8", errors="replace")) for text in whole]
        if sum(sizes) > MOST_ARGUMENT_BYTES or max(sizes) > MOST_ONE_BYTES:
            raise TemplateError(
                say("The arguments and variables have {size:,} bytes, which is more than a program can get", size=sum(sizes)),
                permanent=True,
            )
        umask = int(params.get("umask", "077"), 8)
        return Command(program, arguments, folder, variables, params.get("input", ""), umask), Mask(secrets.values())


def _allowed_program(path: str, ctx: RunContext) -> str:
    """Returns the resolved path of a program. Raises TemplateError (permanent) if it may not be started."""
    if not ctx.commands.programs:
        raise TemplateError(say("Commands are switched off here. {setting} lists no program", setting=SETTING), permanent=True)
    if path not in ctx.commands.programs:
        raise TemplateError(
            say("{path} is not one of the programs that jobs may start ({setting})", path=path, setting=SETTING), permanent=True
        )
    reason = refusal(path, Account.own())
    if reason is not None:
        raise TemplateError(reason, permanent=True)
    return os.path.realpath(path)


def _allowed_folder(path: str, ctx: RunContext) -> str:
    """Returns the folder that a path leads to. Raises TemplateError (permanent) if commands may not use it."""
    folder = resolved_folder(path, ctx.commands.folders)
    if folder is None:
        raise TemplateError(
            say("{path} is not one of the folders of commands, nor inside one (JOBWRIGHT_COMMAND_DIRS)", path=path), permanent=True
        )
    if not os.path.isdir(folder):  # noqa: PTH112 - a text
        raise TemplateError(say("The folder {path} does not exist", path=path), permanent=True)
    return folder


def _result(params: Mapping[str, Any], ended: Ended, output: Output, ctx: RunContext) -> JobResult:
    """Returns the result of a command that succeeded. Raises TemplateError for any other."""
    if ended.left_processes:
        ctx.log.warning("The program left processes behind. They were ended.")
    data: dict[str, Any] = {**output.result, "exit_code": ended.code, "lines": output.lines, "error_lines": output.error_lines}
    message = data.pop("message", None)
    meanings = {entry["code"]: entry["meaning"] for entry in params.get("exit_codes", ())}
    meaning = meanings.get(ended.code, "failure" if ended.code else "success")
    data["outcome"] = meaning
    if meaning in {"failure", "permanent"}:
        failed = {**data, "last_lines": output.tail}
        raise TemplateError(_failure(params["program"], ended.code, output.last_error), permanent=meaning == "permanent", data=failed)
    if params.get("error_output") == "failure" and output.error_lines:
        words = say("{program} wrote to standard error: {line}", program=params["program"], line=output.last_error)
        raise TemplateError(words, data={**data, "outcome": "failure", "last_lines": output.tail})
    if meaning == "warning":
        ctx.log.warning("Exit code %s means success with a warning", ended.code)
    ending = {"success": "Ended", "warning": "Ended with a warning", "skipped": "There was nothing to do"}[meaning]
    text = message if isinstance(message, str) and message.strip() else f"{ending} (exit code {ended.code})"
    return JobResult(text[:1000], data)


def _failure(program: str, code: int, line: str) -> Said:
    """Returns the words for a failure: the exit code or the signal, and the last line of standard error."""
    by_signal = -code if code < 0 else code - 128 if code > 128 else 0
    known = {number.value: number.name for number in signal.Signals}
    if code < 0:
        words = say("{program} was killed by {signal}", program=program, signal=known.get(by_signal, f"signal {by_signal}"))
    elif by_signal in known and re.match(r"SIG(?!RT)", known[by_signal]):
        # A shell reports the death of what it started in this way (POSIX, 2.8.2).
        words = say(
            "{program} ended with exit code {code}, which often means {signal}", program=program, code=code, signal=known[by_signal]
        )
    else:
        words = say("{program} ended with exit code {code}", program=program, code=code)
    if by_signal in _HINTS:
        words = joined((words, _HINTS[by_signal]), "; ")
    return joined((words, line), ": ") if line else words
