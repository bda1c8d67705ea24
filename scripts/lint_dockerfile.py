"""Checks a Dockerfile for what this project promises of its images: a parseable file, stages, no root, a health check, pinned bases."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from dockerfile_parse import DockerfileParser

Step = tuple[str, str]
EXACT = re.compile(r":\d+\.\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$|@sha256:[0-9a-f]{64}$")  # major, minor and patch, or a digest


def problems(path: Path) -> list[str]:
    """What does not hold; empty for a good file."""
    with path.open("rb") as stream:
        steps = [
            (step["instruction"].upper(), step["value"])
            for step in DockerfileParser(fileobj=stream).structure
            if step["instruction"] != "COMMENT"
        ]
    stages = _stages(steps)
    found = [] if len(stages) > 1 else ["has one stage; build tools would be in the image"]
    found += [f"FROM {base} has no exact version" for base in _bases(steps) if not EXACT.search(base)]
    for name in _results(stages):
        found += _problems_of_image(name, _with_parents(name, stages))
    found += [f"ADD {value}: use COPY" for name, value in steps if name == "ADD"]
    return found


def _stages(steps: list[Step]) -> dict[str, list[Step]]:
    """The steps of each stage, its FROM first, by the name of the stage, or by its number where it has none."""
    stages: dict[str, list[Step]] = {}
    name = ""
    for step in steps:
        if step[0] == "FROM":
            words = step[1].split()
            name = words[-1] if "AS" in (word.upper() for word in words) else str(len(stages))
            stages[name] = []
        if name:
            stages[name].append(step)
    return stages


def _bases(steps: list[Step]) -> list[str]:
    """The images that come from elsewhere, with the default values of the arguments before the first FROM."""
    arguments = dict(value.split("=", 1) for name, value in steps if name == "ARG" and "=" in value)
    stages = _stages(steps)
    bases = [value.split()[0] for name, value in steps if name == "FROM"]
    return [re.sub(r"\$\{(\w+)\}", lambda match: arguments.get(match[1], match[0]), base) for base in bases if base not in stages]


def _results(stages: dict[str, list[Step]]) -> list[str]:
    """The stages that people build: those that no other stage stands on or copies from."""
    used = {steps[0][1].split()[0] for steps in stages.values()}
    used |= {match[1] for steps in stages.values() for _, value in steps if (match := re.match(r"--from=(\S+)", value))}
    return [name for name in stages if name not in used]


def _with_parents(name: str, stages: dict[str, list[Step]]) -> list[Step]:
    """The steps of a stage, after those of the stages that it stands on."""
    steps = stages[name]
    parent = steps[0][1].split()[0]
    return [*(_with_parents(parent, stages) if parent in stages else []), *steps]


def _problems_of_image(image: str, steps: list[Step]) -> list[str]:
    found = []
    users = [value.split(":")[0] for name, value in steps if name == "USER"]
    if not users or users[-1] in {"root", "0"}:
        found.append(f"{image} runs as root")
    elif not users[-1].isdigit():
        found.append(f"{image} names its user: Kubernetes can check runAsNonRoot for a number only")
    if not any(name == "HEALTHCHECK" and "NONE" not in value for name, value in steps):
        found.append(f"{image} has no health check")
    for name, value in steps:
        if name in {"CMD", "ENTRYPOINT"}:
            try:
                json.loads(value)
            except ValueError:
                found.append(f"{image}: {name} is in shell form: signals would not reach the process")
    return found


if __name__ == "__main__":
    wrong = [f"{name}: {text}" for name in sys.argv[1:] for text in problems(Path(name))]
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    sys.exit(bool(wrong))
