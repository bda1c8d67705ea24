"""Public holidays by country and region, from the library `holidays`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from app.errors import FieldError, ValidationFailed
from templates_lib.messages import say

MOST_YEARS = 5
MOST_NAMED = 40  # regions in an error


def countries() -> list[str]:
    """Returns the ISO 3166 codes of the countries whose holidays are known, sorted."""
    import holidays  # noqa: PLC0415 - the import takes a tenth of a second, and most processes never need it

    return sorted(code for code in holidays.list_supported_countries(include_aliases=False) if len(code) == 2)


def public_holidays(country: str, region: str, years: Sequence[int], *, language: str = "en") -> list[tuple[date, str]]:
    """Returns (day, name) of the public holidays of a country in some years, ascending. `region` is the code of a part of the country, or
    "" for those of the whole country. The names are in `language` if the library knows them, else in a language of the country.

    Raises ValidationFailed at /country or /region.
    """
    import holidays  # noqa: PLC0415 - as above

    if country not in countries():
        raise ValidationFailed([FieldError("/country", "must be a country of the list")])
    regions = holidays.list_supported_countries(include_aliases=False)[country]
    by_name = {name.upper(): name for name in regions}
    if region and region.upper() not in by_name:
        if not regions:
            raise ValidationFailed([FieldError("/region", "must be empty: this country has no regions with holidays of their own")])
        shown = ", ".join(regions[:MOST_NAMED])
        raise ValidationFailed([FieldError("/region", say("must be a region of this country: {regions}", regions=shown))])
    found = holidays.country_holidays(country, subdiv=by_name[region.upper()] if region else None, years=list(years), language=language)
    return sorted((day, str(name)) for day, name in found.items())
