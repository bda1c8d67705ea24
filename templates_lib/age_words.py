"""Words with which people write ages, in several languages: enough to detect that an age was meant. They are in small letters and without
accents."""

from __future__ import annotations

from decimal import Decimal

UNITS = ("second", "minute", "hour", "day", "week", "month", "year")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Other names of units: each maps to (unit, number of that unit).
ALIASES: dict[str, tuple[str, int]] = {
    word: meaning
    for meaning, words in {
        ("second", 1): "second seconds sec secs sekunde sekunden seconde secondes segundo segundos millisecond milliseconds",
        ("minute", 1): "minute minutes min mins minuten minuto minutos",
        ("hour", 1): "hour hours hr hrs stunde stunden std heure heures hora horas",
        ("day", 1): "day days tag tage tagen jour jours dia dias giorno giorni dag dagen",
        ("week", 1): "week weeks wk wks weekend woche wochen semaine semaines semana semanas settimana settimane weken",
        ("week", 2): "fortnight fortnights",
        ("month", 1): "month months mo mos mon mth mths monat monate monaten mois mes meses mese mesi maand maanden",
        ("month", 3): "quarter quarters quartal quartale quartalen",
        ("year", 1): "year years yr yrs jahr jahre jahren an ans annee annees ano anos anno anni jaar jaren",
        ("year", 10): "decade decades jahrzehnt jahrzehnte jahrzehnten",
        ("year", 100): "century centuries jahrhundert jahrhunderte",
    }.items()
    for word in words.split()
}
# One letter is a unit only after a single number, as in 30d. (`m` may be minutes or months.)
SHORT = {"s": ("second", 1), "h": ("hour", 1), "d": ("day", 1), "w": ("week", 1), "y": ("year", 1), "a": ("year", 1), "q": ("month", 3)}
NUMBERS: dict[str, Decimal] = {
    word: Decimal(number)
    for number, words in {
        "0.5": "half halb halbes halben",
        "1": "a an one ein eine einem einer eines un une uno una",
        "2": "two zwei deux dos",
        "3": "three drei trois tres",
        "4": "four vier quatre cuatro",
        "5": "five funf cinq cinco",
        "6": "six sechs seis",
        "7": "seven sieben sept siete",
        "8": "eight acht huit ocho",
        "9": "nine neun neuf nueve",
        "10": "ten zehn dix diez",
        "11": "eleven elf",
        "12": "twelve zwolf",
        "15": "fifteen",
        "20": "twenty",
        "30": "thirty",
        "60": "sixty",
        "90": "ninety",
        "100": "hundred hundert cent cien",
    }.items()
    for word in words.split()
}
BACK = _words(
    "ago go ag before back earlier past previous last prior older than minus vor letzte letzten letzter letztes hace ultimo ultima dernier "
    "fa geleden atras"
)
AHEAD = _words("in later hence ahead next after from plus within nachste nachsten nachster nachstes dans prochain prochaine")
FILLING = _words("of the and about over und ca since seit now today jetzt heute interval il y old")
# Words whose instant nobody can determine.
VAGUE = _words("start end begin beginning first anfang beginn ende this current few couple several some many diese dieser diesen dieses")
WEEKDAYS = _words(
    "monday tuesday wednesday thursday friday saturday sunday montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag"
)
# Words for a day or for now, and the spelling that is accepted instead.
DAYS = {
    "now": "now",
    "today": "today",
    "yesterday": "1 day ago",
    "tomorrow": "in 1 day",
    "tonight": "today",
    "midnight": "today",
    "noon": "today",
    "heute": "today",
    "gestern": "1 day ago",
    "vorgestern": "2 days ago",
    "morgen": "in 1 day",
    "jetzt": "now",
    "hier": "1 day ago",
    "demain": "in 1 day",
    "ayer": "1 day ago",
    "curdate": "today",
    "getdate": "now",
    "sysdate": "now",
}
# Letters of other scripts that look like Latin ones (https://www.unicode.org/reports/tr39/#Confusable_Detection).
LOOKALIKES = str.maketrans("аеорсухіѕԁɡмнтոοανιτρυχ", "aeopcyxisdgmhtnoavitpux")
