"""Is this text what it looks like? Ids, names and words that must not hold what nobody sees.

Surrounding spaces are taken off; everything else stays as it was written: `0138`, `NA`, `TRUE`, 19-digit ids,
capital letters and full-width characters of an id.
"""

from __future__ import annotations

import re
from functools import lru_cache
from zoneinfo import available_timezones

from journeys.words import Channel
from recall.intake.reasons import Reason, Rejected

MAX_ID = 200  # characters
MAX_TEXT = 4_000

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_BREAKS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")
# Soft hyphen, zero width, joiners, marks and overrides of direction, fillers, tags, private and non-characters.
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\uffff\ue000-\uf8ff\U000e0000-\U000e0fff]"
)
# In free text joiners are part of words and emoji; only what turns the reading direction around is refused.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")
_EVENT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
_LOCALE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", re.ASCII)
_YES = frozenset(("true", "t", "yes", "y", "1", "是"))
_NO = frozenset(("false", "f", "no", "n", "0", "否"))


def read_id(text: str, column: str) -> str:
    """An id of the host, as written but without surrounding spaces."""
    text = text.strip()
    if not text:
        raise Rejected(Reason.MISSING, column)
    if not (text.isascii() and text.isprintable()):
        refuse_unseen(text, column)
    if len(text) > MAX_ID:
        raise Rejected(Reason.TOO_LONG, column)
    return text


def refuse_unseen(text: str, column: str) -> None:
    """Raise Rejected when the text holds control or invisible characters."""
    if text.isascii() and text.isprintable():
        return
    if _CONTROL.search(text):
        raise Rejected(Reason.CONTROL_CHARACTER, column)
    if _HIDDEN.search(text):
        raise Rejected(Reason.HIDDEN_CHARACTER, column)


def read_text(text: str, column: str, *, breaks: bool = False) -> str:
    """Free text: an attribute, a property, a remark. `breaks` allows line breaks and tabs inside."""
    text = text.strip()
    if not (text.isascii() and text.isprintable()):
        if (_CONTROL_BUT_BREAKS if breaks else _CONTROL).search(text):
            raise Rejected(Reason.CONTROL_CHARACTER, column)
        if _TURNING.search(text):
            raise Rejected(Reason.HIDDEN_CHARACTER, column)
    if len(text) > MAX_TEXT:
        raise Rejected(Reason.TOO_LONG, column)
    return text


def read_event_name(text: str, column: str) -> str:
    """The name of an event, such as `loan_settled`."""
    text = text.strip()
    if not text:
        raise Rejected(Reason.MISSING, column)
    if not _is_event_name(text):
        raise Rejected(Reason.NAME_INVALID, column)
    return text


@lru_cache(maxsize=256)  # a file has few names and many rows
def _is_event_name(text: str) -> bool:
    return _EVENT_NAME.fullmatch(text) is not None


def read_word(text: str, column: str, *, default: str = "") -> str:
    """A short remark such as a purpose, reason, brand or source; empty becomes the default."""
    text = text.strip()
    refuse_unseen(text, column)
    if len(text) > MAX_ID:
        raise Rejected(Reason.TOO_LONG, column)
    return text or default


def read_channel(text: str, column: str) -> Channel:
    """A channel, in small or capital letters."""
    text = text.strip().lower()
    if not text:
        raise Rejected(Reason.MISSING, column)
    try:
        return Channel(text)
    except ValueError:
        raise Rejected(Reason.UNKNOWN_CHANNEL, column) from None


def read_flag(text: str, column: str) -> bool:
    """true/false, yes/no, 1/0, 是/否."""
    text = text.strip().lower()
    if not text:
        raise Rejected(Reason.MISSING, column)
    if text not in _YES and text not in _NO:
        raise Rejected(Reason.FLAG_INVALID, column)
    return text in _YES


def read_locale(text: str, column: str) -> str:
    """`zh-CN`; an underscore is read as a hyphen."""
    text = text.strip().replace("_", "-")
    if text and not _LOCALE.fullmatch(text):
        raise Rejected(Reason.LOCALE_INVALID, column)
    return text


def read_jurisdiction(text: str, column: str) -> str:
    """Two letters, made capital."""
    text = text.strip().upper()
    if text and not re.fullmatch(r"[A-Z]{2}", text, re.ASCII):
        raise Rejected(Reason.JURISDICTION_INVALID, column)
    return text


@lru_cache(maxsize=1)
def known_zones() -> frozenset[str]:
    """Every IANA zone of this machine's database; a path is none of them."""
    return frozenset(available_timezones())


def read_zones(text: str, column: str) -> tuple[str, ...] | None:
    """One IANA zone, or candidates separated by spaces; None when the cell is empty."""
    names = tuple(text.split())
    if not known_zones().issuperset(names):
        raise Rejected(Reason.UNKNOWN_ZONE, column)
    return names or None
