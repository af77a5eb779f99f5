"""Which phone number is this, in E.164, and where may its owner be?

Full-width digits and signs become plain ones (NFKC); spaces, brackets, dots and hyphens are left out. What cannot be
one person's own number is refused: letters, extensions, several in one cell, short codes, service numbers.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneNumberType as Type
from phonenumbers import ValidationResult
from phonenumbers.phonenumberutil import is_number_type_geographical
from phonenumbers.timezone import UNKNOWN_TIMEZONE, time_zones_for_geographical_number, time_zones_for_number

from recall.errors import Misconfigured
from recall.intake.reasons import Reason, Rejected
from recall.intake.texts import known_zones, refuse_unseen

_WIDE = re.compile("[\uff01-\uff5e\u3000]")
_SEVERAL = re.compile(r"[/;,、|&]|\d\s*\+|\bor\b|\band\b|或|和", re.IGNORECASE)
_EXTENSION = re.compile(r"\d\s*(ext|x|#|转|分机)\.?\s*:?\s*\d", re.IGNORECASE)
_NUMBER = re.compile(r"\+?[0-9 ().\u00a0\u2010-\u2015-]+")
_SHORTEST = 7  # digits; below that it is a short code
_NOBODYS_OWN = frozenset(
    (
        Type.PREMIUM_RATE,
        Type.TOLL_FREE,
        Type.SHARED_COST,
        Type.UAN,
        Type.VOICEMAIL,
        Type.PAGER,
    )
)


@dataclass(frozen=True, slots=True)
class Phone:
    value: str = field(repr=False)  # E.164
    region: str  # ISO 3166
    zones: tuple[str, ...]  # where its owner may be; empty when nobody knows


def confirm_region(region: str | None) -> str | None:
    """The region itself, in capital letters; raises Misconfigured for one that has no phones."""
    if region and region.upper() not in phonenumbers.SUPPORTED_REGIONS:
        raise Misconfigured(f"{region!r} is not a country with phones; say its two letters, such as --region CN")
    return region.upper() if region else None


def read_phone(text: str, column: str, *, region: str | None, landlines: bool) -> Phone | None:
    """A phone in E.164; None for an empty cell. `region` is where numbers without a country code are meant."""
    text = _WIDE.sub(lambda wide: unicodedata.normalize("NFKC", wide[0]), text.strip()).strip()
    if not text:
        return None
    refuse_unseen(text.replace("\u00a0", " "), column)
    if _EXTENSION.search(text):
        raise Rejected(Reason.PHONE_EXTENSION, column)
    if _SEVERAL.search(text):
        raise Rejected(Reason.SEVERAL_IN_ONE, column)
    if not _NUMBER.fullmatch(text):
        raise Rejected(Reason.PHONE_CHARACTERS, column)
    if sum(map(str.isdigit, text)) < _SHORTEST:
        raise Rejected(Reason.PHONE_SHORT_CODE, column)
    number = _parse(text, column, region)
    # Dear (some 10 µs), so it is asked once and tells validity, landlines and zones.
    kind = phonenumbers.number_type(number)
    _refuse_nobodys(number, kind, column, landlines)
    value = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return Phone(value, phonenumbers.region_code_for_number(number) or "", _zones(number, kind))


def _parse(text: str, column: str, region: str | None) -> phonenumbers.PhoneNumber:
    if not text.startswith("+") and region is None:
        raise Rejected(Reason.PHONE_WITHOUT_COUNTRY, column)
    try:
        return phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        raise Rejected(Reason.PHONE_INVALID, column) from None


def _refuse_nobodys(number: phonenumbers.PhoneNumber, kind: int, column: str, landlines: bool) -> None:
    """Raise Rejected unless this can be one person's own number, of a kind that is wanted."""
    if kind == Type.UNKNOWN:  # not valid in its country
        raise Rejected(_why_invalid(number), column)
    if kind in _NOBODYS_OWN:
        raise Rejected(Reason.PHONE_SERVICE, column)
    if kind == Type.FIXED_LINE and not landlines:
        raise Rejected(Reason.PHONE_LANDLINE, column)


def _why_invalid(number: phonenumbers.PhoneNumber) -> Reason:
    possible = phonenumbers.is_possible_number_with_reason(number)
    lengths = (ValidationResult.TOO_SHORT, ValidationResult.TOO_LONG, ValidationResult.INVALID_LENGTH)
    return Reason.PHONE_LENGTH if possible in lengths else Reason.PHONE_INVALID


def _zones(number: phonenumbers.PhoneNumber, kind: int) -> tuple[str, ...]:
    if is_number_type_geographical(kind, number.country_code or 0):
        return _candidates(tuple(time_zones_for_geographical_number(number)))
    return _candidates(tuple(time_zones_for_number(number)))


@lru_cache(maxsize=1024)
def _candidates(zones: tuple[str, ...]) -> tuple[str, ...]:
    """A zone this machine does not know makes the set incomplete, and half a set would open a window too early."""
    return zones if known_zones().issuperset(zones) and UNKNOWN_TIMEZONE not in zones else ()
