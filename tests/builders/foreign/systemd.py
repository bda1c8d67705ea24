"""A folder of 200 timers with their services: what distributions ship, what administrators write."""

from __future__ import annotations

from pathlib import Path
from random import Random

EVENTS = tuple(
    """
daily
hourly
weekly
monthly
*-*-* 04:00:00
*-*-* 6,18:00
Mon..Fri 08:30
Sun 03:10
*:0/15
*:0/5
*-*-01 05:00
Mon *-*-1..7 18:00
*-*~01 23:00
Sat *-*~07/1 02:15
*-*-* 02:30
00/6:20:30
quarterly
*-01,07-01 06:00
Tue,Thu 12:00 UTC
*-*-* 22:15 America/New_York
Wed..Sat *-*-* 05:45
*-*-* *:17:00
yearly
*-12-24 16:00
*-*-* 00/4:00
Mon 07:00
""".strip().splitlines()
)
COMMANDS = tuple(
    """
/usr/bin/certbot -q renew
/usr/local/bin/backup --all --target /srv/backup
-/usr/sbin/logrotate /etc/logrotate.conf
/usr/bin/find /var/tmp/cache -type f -mtime +14 -delete
/usr/bin/curl -fsS https://example.com/hooks/nightly
/usr/bin/python3 /opt/shop/manage.py clearsessions
/usr/bin/php /var/www/cron.php --quiet
/usr/libexec/fstrim --listed /etc/fstab
@/usr/bin/rsync rsync -a --delete /srv/ /backup/srv/
/opt/report/run.sh ${REGION} $OPTIONS
/usr/bin/restic backup /home
/bin/sh -c 'exec /opt/tools/cleanup --days 30'
/usr/bin/apt-get -qq update
:/usr/bin/printf 100%%
/opt/sync/sync --site %i
""".strip().splitlines()
)


def write(folder: Path, count: int = 200, seed: int = 1) -> Path:
    """Writes the folder and returns it. All timers are enabled but each 25th."""
    random = Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    wants = folder / "timers.target.wants"
    wants.mkdir()
    for number in range(count):
        name, command = f"job-{number:03}", random.choice(COMMANDS)
        timer = f"{name}@shop.timer" if "%i" in command else f"{name}.timer"
        when = (
            f"OnCalendar={EVENTS[number % len(EVENTS)]}"
            if number % 9
            else f"OnBootSec=5min\nOnUnitActiveSec={random.choice(['15min', '1h', '12h', '1d'])}"
        )
        extra = random.choice(
            ["Persistent=true", "RandomizedDelaySec=1h\nPersistent=yes", "AccuracySec=1us", "RandomizedDelaySec=300", "WakeSystem=no", ""]
        )
        text = f"[Unit]\nDescription=Timer {number}\n\n[Timer]\n{when}\n{extra}\n\n[Install]\nWantedBy=timers.target\n"
        (folder / timer.replace("@shop", "@")).write_text(text)
        (folder / timer.replace("@shop", "@").replace(".timer", ".service")).write_text(_service(random, number, command))
        if number % 25:
            (wants / timer).symlink_to(f"../{timer.replace('@shop', '@')}")
        elif "@" in timer:
            (wants / timer).symlink_to("/nowhere")
    return folder


def _service(random: Random, number: int, command: str) -> str:
    extra = random.choice(
        [
            "User=shop",
            "WorkingDirectory=/srv/shop",
            "Nice=19\nIOSchedulingClass=idle",
            "ProtectSystem=full\nPrivateTmp=yes",
            "TimeoutStartSec=30min",
            "",
        ]
    )
    environment = 'Environment="REGION=eu west" OPTIONS=--fast\nEnvironment=LANG=C.UTF-8\n'
    restart = "Restart=on-failure\nRestartSec=30s\n" if number % 20 == 3 else ""
    return f"# made for a test\n[Unit]\nDescription=Job {number}\nAfter=network.target\n\n[Service]\nType=oneshot\n{environment}{extra}\n{restart}ExecStart={command}\n"
