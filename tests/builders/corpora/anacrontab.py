"""Files of anacron as distributions and people write them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.builders.corpora import Corpus, berlin
from tests.builders.plans import NOW

HEAD = """# /etc/anacrontab: configuration file for anacron
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin
HOME=/root
LOGNAME=root
MAILTO=ops@example.com
RANDOM_DELAY=45
START_HOURS_RANGE=3-22

# period in days   delay in minutes   job-identifier   command
"""
PERIODS = ("1", "7", "@monthly", "30", "@weekly", "2", "@daily", "3", "14", "90", "@yearly")
COMMANDS = (
    "nice /opt/backup/run.sh --full",
    "/usr/sbin/logrotate /etc/logrotate.conf",
    "/usr/bin/updatedb",
    "find /srv/upload -mtime +30 -delete",
    "curl -fsS https://example.com/weekly > /dev/null",
    "/usr/bin/apt-get -q -y update",
    "/usr/bin/certbot renew --quiet",
    "nice /usr/bin/fstrim --all",
)


def make(folder: Path, mongod: str) -> Corpus:
    spool, lines = folder / "spool", []
    spool.mkdir()
    for number in range(200):
        lines.append(f"{PERIODS[number % len(PERIODS)]}\t{number % 60}\tjob.{number}\t{COMMANDS[number % len(COMMANDS)]}\n")
        if number % 3:
            (spool / f"job.{number}").write_text(f"{(NOW - timedelta(days=number % 9)):%Y%m%d}\n")
    path = folder / "anacrontab"
    path.write_text(HEAD + "".join(lines))
    options = berlin(own={"spool": str(spool)})
    return Corpus(
        place=str(path), options=options, entries=200, fields=lambda _: {"period", "delay", "identifier", "command", "START_HOURS_RANGE"}
    )
