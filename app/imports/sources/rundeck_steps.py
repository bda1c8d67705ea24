"""The steps of a job of Rundeck as one command line, with the default values of its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.imports.scripts import Script, read_script
from app.imports.secrets import Redactor
from app.imports.sources.documents import elements, is_true, mapping

_REFERENCE = re.compile(r"\$\{(?P<kind>option|unquotedoption|job)\.(?P<name>[\w.-]+)\}|@(?P<in_script>(?:option|job)\.[\w.-]+)@")
_OTHER = re.compile(r"\$\{(?:node|data|globals|export|result|error|execution|user|plugin)[.:][\w.:-]+\}|@(?:node|data|globals)\.[\w.-]+@")
_VARIABLE = re.compile(r"\bRD_OPTION_[A-Z0-9_]+\b")


@dataclass(slots=True)
class Steps:
    """What the steps run. `questions` are what a person must complete."""

    text: str = ""
    shell: str = "/bin/sh"
    environment: dict[str, str] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)


def steps_of(job: Mapping[str, Any], redactor: Redactor) -> Steps:
    """Returns the steps of a job. Values of secure options become placeholders."""
    found = Steps()
    options = _options(job, redactor)
    sequence = mapping(job.get("sequence"))
    commands = enumerate(map(mapping, elements(sequence.get("commands"))), start=1)
    scripts = [_step(step, number, options, found, job, redactor) for number, step in commands]
    known = [script for script in scripts if script is not None]
    if len(known) == 1:
        found.text, found.shell = known[0].text, known[0].shell
    else:
        between = " ; " if is_true(sequence.get("keepgoing", "")) else " && "
        found.text = between.join(script.text if "\n" not in script.text else f"{{\n{script.text}\n}}" for script in known)
    if not known:
        found.text = "true"
        found.questions.append("The job has no step that runs a command.")
    found.environment = {name: options[key] for key in options for name in (_variable(key),) if name in set(_VARIABLE.findall(found.text))}
    return found


def _options(job: Mapping[str, Any], redactor: Redactor) -> dict[str, str]:
    """The options with their default values; secure ones as placeholders."""
    raw = job.get("options", [])
    listed = [{**mapping(option), "name": name} for name, option in raw.items()] if isinstance(raw, dict) else elements(raw)
    found = {}
    for option in map(mapping, listed):
        name, value = str(option.get("name", "")), str(option.get("value", ""))
        if is_true(option.get("secure", "")):
            place = str(option.get("storagePath") or option.get("defaultStoragePath") or name)
            found[name] = redactor.hidden(f"the secure option {name}", place)
        else:
            found[name] = redactor.redact_value(name, value)
    return found


def without_secure(job: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a job without the values of its secure options."""
    raw = job.get("options")
    if not raw:
        return dict(job)
    named = raw if isinstance(raw, dict) else dict(enumerate(elements(raw)))
    clean = {
        key: {name: value for name, value in mapping(option).items() if name != "value" or not is_true(mapping(option).get("secure", ""))}
        for key, option in named.items()
    }
    return {**job, "options": clean if isinstance(raw, dict) else list(clean.values())}


def _variable(option: str) -> str:
    return "RD_OPTION_" + re.sub(r"[^A-Z0-9]", "_", option.upper())


def _step(
    step: Mapping[str, Any], number: int, options: Mapping[str, str], steps: Steps, job: Mapping[str, Any], redactor: Redactor
) -> Script | None:
    """Returns what a step runs; None, with a question, if it needs Rundeck."""
    arguments = _filled(str(step.get("args", "")), options, steps, job, quote=True)
    if step.get("exec"):
        script = Script(text=_filled(redactor.redact(str(step["exec"])), options, steps, job, quote=True))
    elif step.get("script"):
        text = _filled(redactor.redact(str(step["script"])), options, steps, job, quote=False)
        script = read_script(text, interpreter=str(step.get("scriptInterpreter", "")), arguments=arguments)
    elif step.get("scriptfile"):
        script = Script(text=f"{step.get('scriptInterpreter', '')} {step['scriptfile']} {arguments}".strip())
    else:
        other = mapping(step.get("jobref")).get("name", "")
        what = f"runs the job {other}" if step.get("jobref") else f"is {step.get('type') or 'unknown'}"
        what = "downloads its script" if step.get("scripturl") else what
        steps.questions.append(f"Step {number} {what}, which needs Rundeck.")
        return None
    handler = mapping(step.get("errorhandler"))
    if handler.get("exec"):
        other = _filled(redactor.redact(str(handler["exec"])), options, steps, job, quote=True)
        return Script(text=f"{script.text} || {other}", shell=script.shell)
    return script


def _filled(text: str, options: Mapping[str, str], steps: Steps, job: Mapping[str, Any], *, quote: bool) -> str:
    """Replaces options by their default values, and facts about the job."""

    def value(match: re.Match[str]) -> str:
        kind, _, name = (match["in_script"] or f"{match['kind']}.{match['name']}").partition(".")
        if kind == "job":
            known = {"name": job.get("name"), "group": job.get("group"), "id": job.get("uuid") or job.get("id")}
            if known.get(name):
                return str(known[name])
        elif name in options:
            return shlex.quote(options[name]) if quote and kind == "option" and "‹secret" not in options[name] else options[name]
        steps.questions.append(f"The value of {match[0]} is known to Rundeck only.")
        return match[0]

    filled = _REFERENCE.sub(value, text)
    for other in dict.fromkeys(_OTHER.findall(filled)):
        steps.questions.append(f"The value of {other} is known to Rundeck only.")
    return filled
