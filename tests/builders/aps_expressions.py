"""Fields of cron triggers of APScheduler 3, made up at random from all that its grammar knows."""

from __future__ import annotations

from random import Random

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
POSITIONS = ("1st", "2nd", "3rd", "4th", "5th", "last")
ZONES = ("Europe/Berlin", "UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago")
BOUNDS = {"month": (1, 12), "day": (1, 31), "week": (1, 53), "day_of_week": (0, 6), "hour": (0, 23), "minute": (0, 59), "second": (0, 59)}


def fields(random: Random) -> dict[str, str]:
    """Some fields of a trigger, the less usual ones less often."""
    chances = {"year": 0.05, "month": 0.25, "day": 0.4, "week": 0.08, "day_of_week": 0.35, "hour": 0.8, "minute": 0.8, "second": 0.2}
    chosen = {name: _field(random, name) for name, chance in chances.items() if random.random() < chance}
    return chosen or {"minute": "*/5"}


def _field(random: Random, name: str) -> str:
    if name == "year":
        return random.choice(["2026-2028", "2027", "*/2", "2026,2029"])
    return ",".join(_term(random, name) for _ in range(random.choice([1, 1, 1, 2, 3])))


def _term(random: Random, name: str) -> str:
    low, high = BOUNDS[name]
    first = random.randint(low, high)
    last = random.randint(first, high)
    kinds = ["number", "number", "range", "step", "stepped range", "open step"]
    if name == "day":
        kinds += ["last", "nth", "nth", "nth"]
    if name in {"month", "day_of_week"}:
        kinds += ["name", "names"]
    match random.choice(kinds):
        case "range":
            return f"{first}-{last}"
        case "step":
            return f"*/{random.randint(1, max(1, (high - low) // 2))}"
        case "stepped range" if last > first:
            return f"{first}-{last}/{random.randint(1, last - first)}"
        case "open step" if high > first:
            return f"{first}/{random.randint(1, high - first)}"
        case "last":
            return "last"
        case "nth":
            return f"{random.choice(POSITIONS)} {random.choice(WEEKDAYS)}"
        case "name":
            return random.choice(MONTHS if name == "month" else WEEKDAYS)
        case "names":
            names = MONTHS if name == "month" else WEEKDAYS
            return f"{names[first - low]}-{names[last - low]}"
    return str(first)
