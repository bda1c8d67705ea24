"""Checks a Dockerfile for what this project promises of its image: a parseable file, stages, no root, a health check, pinned bases."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dockerfile_parse import DockerfileParser


def problems(path: Path) -> list[str]:
    """What does not hold; empty for a good file."""
    with path.open("rb") as stream:
        parser = DockerfileParser(fileobj=stream)
        steps = [(step["instruction"].upper(), step["value"]) for step in parser.structure if step["instruction"] != "COMMENT"]
    stages = [value for name, value in steps if name == "FROM"]
    last = steps[max(index for index, (name, _) in enumerate(steps) if name == "FROM") :]
    problems = []
    if len(stages) < 2:
        problems.append("has one stage; build tools would be in the image")
    problems += [f"FROM {stage} has no version" for stage in stages if ":" not in stage.split()[0]]
    if not any(name == "USER" and value.split(":")[0] not in {"root", "0"} for name, value in last):
        problems.append("runs as root")
    if not any(name == "HEALTHCHECK" and "NONE" not in value for name, value in last):
        problems.append("has no health check")
    for name, value in last:
        if name in {"CMD", "ENTRYPOINT"}:
            try:
                json.loads(value)
            except ValueError:
                problems.append(f"{name} is in shell form: signals would not reach the process")
    problems += [f"ADD {value}: use COPY" for name, value in steps if name == "ADD"]
    return problems


if __name__ == "__main__":
    wrong = [f"{name}: {text}" for name in sys.argv[1:] for text in problems(Path(name))]
    sys.stderr.writelines(f"{line}\n" for line in wrong)
    sys.exit(bool(wrong))
