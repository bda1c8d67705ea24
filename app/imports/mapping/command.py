"""Everything else becomes a job of the template `command`: a program and its arguments, without a shell."""

from __future__ import annotations

import re
import shlex
import shutil
from typing import Any

from app.imports.entries import LEAVE_OUT, LEAVE_OUT_WORDS, CommandLine, Draft, Question
from app.imports.mapping.lines import Line
from app.imports.mapping.needs import connection
from app.imports.names import slug
from app.imports.secrets import MARK, has_secret
from app.imports.shell import NeedsShell
from app.validation.secret import named_secret

TEMPLATE = "command"
FOLDER = "/usr/local/lib/jobwright"  # where scripts are proposed
SEARCHED = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"  # where programs without a folder are looked for
# What cron sets for itself, and what the template does not let a job set, because it decides which code a program loads.
_OF_CRON = {"SHELL", "MAILTO", "CRON_TZ", "MAILFROM", "RANDOM_DELAY", "START_HOURS_RANGE", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING"}
_LOADERS = re.compile(
    r"(?:LD|BASH|OPENSSL|XDG_CONFIG)_.*|PYTHON.*|PERL.*|RUBY.*|GEM_.*|NODE_.*|GIT_.*|JAVA_HOME|PATH|CLASSPATH|SHELL|ENV|IFS|EDITOR|VISUAL",
    re.IGNORECASE,
)


def map_command(line: Line, draft: Draft) -> None:
    """Makes a job that starts the program of the line. Raises NeedsShell if a shell must replace file name patterns."""
    if any(word.dated for word in line.words):
        raise NeedsShell("it uses the output of date")
    pattern = next((word.text for word in line.words if word.pattern), None)
    if pattern is not None and "://" not in pattern:
        raise NeedsShell(f"a shell must replace {pattern} by the names of files")
    if any(has_secret(text) for text in line.texts):
        raise NeedsShell("a secret is among the arguments, which everybody on the machine can see. The script can read it from a file")
    program, reason = _program(line)
    parameters: dict[str, Any] = {"program": program, "arguments": line.texts[1:]}
    draft.mapped("command", shlex.join(line.texts), "parameters.program, parameters.arguments", reason)
    if line.folder:
        parameters["folder"] = line.folder
    if line.stdin is not None:
        parameters["input"] = line.stdin
        draft.mapped("%", line.stdin, "parameters.input")
    parameters |= _variables(line, draft)
    draft.body |= {"template_type": TEMPLATE, "parameters": {key: value for key, value in parameters.items() if value not in ([], {})}}


def propose_script(command: CommandLine, draft: Draft, entry_id: str, why: str) -> None:
    """Proposes a script with the line, which the job starts. Somebody must decide whether that is meant."""
    path = f"{FOLDER}/{slug(entry_id)}.sh"
    exports = [f"export {key}={shlex.quote(value)}\n" for key, value in command.environment.items() if key not in _OF_CRON]
    text = command.text if command.stdin is None else f"{command.text} <<'END_OF_INPUT'\n{command.stdin}END_OF_INPUT"
    draft.script = f"#!{command.shell or '/bin/sh'}\n{''.join(exports)}{text}\n"
    draft.waits("command", command.text, f"there is no template that runs a shell, and this line needs one: {why}")
    words = f"Save the proposed script as {path}, owned by root and executable, and list it in JOBWRIGHT_COMMAND_PROGRAMS."
    if has_secret(draft.script):
        words += " It reads its secrets from a file that only the user of Jobwright can read."
    draft.questions.append(Question(text=f"The line needs a shell: {why}.", choices={"script": words, LEAVE_OUT: LEAVE_OUT_WORDS}))
    draft.body |= {"template_type": TEMPLATE, "parameters": {"program": path}}


def _program(line: Line) -> tuple[str, str]:
    """Returns the absolute path of the program, and how it was found."""
    program = line.texts[0]
    if program.startswith("/"):
        return program, ""
    if "/" in program:
        if not line.folder:
            raise NeedsShell("its program is relative to a folder that is not known; give the home folder with --home")
        return f"{line.folder.rstrip('/')}/{program.removeprefix('./')}", ""
    found = shutil.which(program, path=line.environment.get("PATH") or SEARCHED)
    return (
        (found, f"{program} is {found} on this machine")
        if found
        else (f"/usr/bin/{program}", f"{program} is assumed to be /usr/bin/{program}")
    )


def program_path(program: str) -> str:
    """Returns the absolute path of a program, as it is on this machine or as it is assumed."""
    return program if program.startswith("/") else shutil.which(program, path=SEARCHED) or f"/usr/bin/{program}"


def _variables(line: Line, draft: Draft) -> dict[str, Any]:
    """Returns the variables of the line, those that are secret apart from the others."""
    environment: dict[str, str] = {}
    secrets: dict[str, Any] = {}
    for key, value in line.environment.items():
        if key in _OF_CRON:
            continue
        if _LOADERS.fullmatch(key):
            draft.dropped(key, value, "a job may not set it, because it decides which code a program loads. Commands have a fixed PATH")
        elif has_secret(value):
            whole = "the value" if MARK.fullmatch(value) else "the whole value, which contains a secret,"
            prints = tuple(draft.prints[int(number) - 1] for number in MARK.findall(value))
            secrets[key] = named_secret(connection(draft, "secret", key, {}, secret=f"{whole} of {key}", prints=(value, *prints)))
            draft.mapped(key, value, f"parameters.secrets.{key}")
        else:
            environment[key] = value
            draft.mapped(key, value, f"parameters.environment.{key}")
    return {"environment": environment, "secrets": secrets}
