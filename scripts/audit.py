"""`make audit`: known vulnerabilities of what is locked, said plainly, also where the advisory database cannot be asked."""

from __future__ import annotations

import json
import subprocess
import sys

OUT_OF_REACH = 3


def main(tool: str, lock: str) -> int:
    """0: nothing is known of any; 1: something is; 3: the database did not tell, which is no good news."""
    command = [tool, "--disable-pip", "--require-hashes", "-r", lock, "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the tool that make installed
    try:
        rows = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"The advisory database is out of reach from here: nothing was found out.\n{done.stderr.strip()[-500:]}")  # noqa: T201
        return OUT_OF_REACH
    asked = [row for row in rows if "skip_reason" not in row]
    vulnerable = [row for row in asked if row["vulns"]]
    for row in vulnerable:
        for vulnerability in row["vulns"]:
            mended = ", ".join(vulnerability["fix_versions"]) or "no version yet"
            print(f"{row['name']} {row['version']}: {vulnerability['id']}, mended in {mended}")  # noqa: T201
    else:
        print(f"{len(rows)} packages: {len(vulnerable)} with known vulnerabilities.")  # noqa: T201
    return 1 if vulnerable else OUT_OF_REACH if len(asked) < len(rows) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
