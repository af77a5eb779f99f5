"""What may be shown of a vendor's text? Phones, e-mails and long numbers are masked, and the text is cut."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

EXCERPT_CHARS = 200

_EMAIL = re.compile(r"[^\s<>\"'(),;:=&]+(?:@|%40)[^\s<>\"'(),;:&]+", re.IGNORECASE)
_URL_QUERY = re.compile(r"(https?://[^\s?#\"'<>]*)[?#][^\s\"'<>]*", re.IGNORECASE)
# Seven digits or more, however they are grouped: a phone, an account, a card. Vendor codes have five.
_NUMBER = re.compile(r"(?:\+|%2B)?\(?\d(?:[\s().\-/]{0,2}\d){6,}", re.IGNORECASE)


def mask(text: str, hidden: Iterable[str] = ()) -> str:
    """The text without e-mails, phones and whatever is `hidden` (an address, a body, a secret)."""
    text = unicodedata.normalize("NFKC", text)  # full-width digits are digits
    for secret in sorted({unicodedata.normalize("NFKC", each) for each in hidden if each}, key=len, reverse=True):
        text = text.replace(secret, "<hidden>")
    text = _EMAIL.sub("<email>", text)
    text = _URL_QUERY.sub(r"\1?<hidden>", text)
    return _NUMBER.sub("<number>", text)


def excerpt(text: str, hidden: Iterable[str] = ()) -> str:
    """At most 200 characters of the masked text, on one line."""
    masked = mask(text[: EXCERPT_CHARS * 20], hidden)
    return " ".join(masked.split())[:EXCERPT_CHARS]


def code_of(value: object) -> str:
    """A vendor's code as it may be kept and shown: short, masked, on one line; "" for none."""
    return "" if value is None else "".join(mask(str(value)[:200]).split())[:40]
