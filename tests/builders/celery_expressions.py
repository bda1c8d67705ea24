"""Fields of crontabs of Celery, made up at random from all that its grammar knows."""

from __future__ import annotations

from random import Random

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "Monday", "friday")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
ZONES = ("Europe/Berlin", "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago")
BOUNDS = {"minute": (0, 59), "hour": (0, 23), "day_of_month": (1, 31), "month_of_year": (1, 12), "day_of_week": (0, 6)}
CHANCES = {"minute": 0.85, "hour": 0.75, "day_of_month": 0.35, "month_of_year": 0.25, "day_of_week": 0.4}


def fields(random: Random) -> dict[str, str]:
    """All five fields, some of them `*`."""
    return {
        name: ",".join(_part(random, name) for _ in range(random.choice([1, 1, 1, 2]))) if random.random() < chance else "*"
        for name, chance in CHANCES.items()
    }


def _part(random: Random, name: str) -> str:
    low, high = BOUNDS[name]
    first, last = random.randint(low, high), random.randint(low, high)  # a range may run backwards
    kinds = ["number", "number", "range", "step", "stepped range"]
    names = {"month_of_year": MONTHS, "day_of_week": WEEKDAYS}.get(name)
    match random.choice([*kinds, "name", "names"] if names else kinds):
        case "range":
            return f"{first}-{last}"
        case "step":
            return f"*/{random.randint(1, high + 5)}"
        case "stepped range":
            return f"{first}-{last}/{random.randint(1, 12)}"
        case "name" if names:
            return random.choice(names)
        case "names" if names:
            return f"{random.choice(names)}-{random.choice(names)}"
    return str(first)
