"""Every command of the guides for operators, run in order against a real installation.

Blocks of `sh` in a guide are one script, which must not fail. Blocks of `js` are commands for the shell of MongoDB, which run against the
real server. `systemctl`, `docker`, `kubectl` and `journalctl` are stand-ins that check the names (stub.py).
"""

from __future__ import annotations

import json
import re
import shutil
import sys

import pytest

from app.mongo import connect
from tests.integration.guides.machine import ROOT, Machine

GUIDES = ("operate", "back-up", "upgrade", "troubleshoot", "capacity")
SHORT_MEASURE = f"(cd {ROOT} && N=3 COPIES=1000 {sys.executable} -m tests.bench.capacity)"


def blocks(guide: str, kind: str) -> list[str]:
    """The blocks of code of one kind in a guide, without their indent."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```$", (ROOT / f"docs/how-to/{guide}.md").read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


@pytest.mark.parametrize("guide", GUIDES)
def test_every_command_of_the_guide_works(machine: Machine, guide: str, mongod: str) -> None:
    script = "\n".join(blocks(guide, "sh"))
    done = machine.run(script.replace(".venv/bin/python -m tests.bench.capacity", SHORT_MEASURE))
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    with connect(mongod) as client:
        for line in "".join(blocks(guide, "js")).splitlines():
            target, command = re.fullmatch(r"db\.(adminCommand|runCommand)\((.*)\)", line).groups()  # type: ignore[union-attr]
            database = client.admin if target == "adminCommand" else client[machine.environment["JOBWRIGHT_DATABASE"]]
            assert database.command(json.loads(command))["ok"] == 1


def test_the_guides_name_only_commands_and_options_that_exist() -> None:
    """Commands in running text are not run. Those of `jobwright` must be known, with each of their options."""
    reference = (ROOT / "docs/reference/cli.md").read_text()
    for guide in (*GUIDES, "rotate-keys"):
        text = (ROOT / f"docs/how-to/{guide}.md").read_text()
        for named in re.findall(r"`jobwright ([^`\n]+)`", text):
            words = [word for word in named.split() if re.fullmatch(r"[a-z]+", word)]
            rows = [row for row in reference.splitlines() if re.match(rf"\| `jobwright {words[0]}\b", row)]
            assert rows, f"{guide}: {named}"
            options = re.findall(r"--[a-z-]+", named)
            assert any(all(option in row for option in options) for row in rows), f"{guide}: {named}"


@pytest.mark.parametrize("tool", ["bash", "curl", "openssl", "find"])
def test_the_tools_are_installed(tool: str) -> None:
    assert shutil.which(tool)
