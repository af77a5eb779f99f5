"""What did the person answer the robot? Keys first, then words from a table; what is unclear is no answer.

An unclear answer is neither an opt-out nor a yes. Within a sentence the graver meaning wins, so "not interested"
is a no and "yes, but stop calling" is a stop.
"""

from __future__ import annotations

import csv
import math
import re
import unicodedata
from enum import StrEnum
from functools import cache
from importlib.resources import files

LOW_CONFIDENCE = 0.5


class Answer(StrEnum):
    """How a call that was answered ends; in order of gravity."""

    OPT_OUT = "opt_out"
    WRONG_PERSON = "wrong_person"
    DECLINED = "declined"
    INTERESTED = "interested"
    NO_INPUT = "no_input"


KEYS = {"1": Answer.INTERESTED, "2": Answer.DECLINED, "3": Answer.WRONG_PERSON, "9": Answer.OPT_OUT}


def meaning_of(*, keys: str = "", speech: str = "", confidence: str = "") -> Answer:
    """What keys or words mean; a pressed key outweighs what was heard."""
    if keys:
        return KEYS.get(keys[:1], Answer.NO_INPUT)
    heard = _plain(speech)
    if not heard or _share(confidence) < LOW_CONFIDENCE:
        return Answer.NO_INPUT
    return next((answer for answer, pattern in _patterns() if pattern.search(heard)), Answer.NO_INPUT)


def hints(language: str) -> str:
    """Phrases that help a recogniser of this language ("zh", "en"), joined by commas; at most fifty."""
    return ",".join([row["phrase"] for row in _rows() if row["language"] == language][:50])


def _share(confidence: str) -> float:
    """0 to 1; 0 for anything that is no number."""
    try:
        value = float(confidence)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _plain(speech: str) -> str:
    """Small letters, one kind of apostrophe, words parted by single blanks; Chinese without blanks."""
    text = unicodedata.normalize("NFKC", speech).lower().replace("’", "'")
    text = re.sub(r"[^\w']+", " ", text).strip()
    return re.sub(r"(?<=[\u4e00-\u9fff]) (?=[\u4e00-\u9fff])", "", text)


@cache
def _rows() -> tuple[dict[str, str], ...]:
    text = files("providers").joinpath("speech.csv").read_text("utf-8")
    return tuple(csv.DictReader(text.splitlines(), strict=True))


@cache
def _patterns() -> tuple[tuple[Answer, re.Pattern[str]], ...]:
    """English phrases are whole words; Chinese ones stand anywhere."""
    found = []
    for answer in Answer:
        mine = [row for row in _rows() if row["outcome"] == answer]
        parts = [
            rf"\b{re.escape(row['phrase'])}\b" if row["language"] == "en" else re.escape(row["phrase"]) for row in mine
        ]
        if parts:
            found.append((answer, re.compile("|".join(parts))))
    return tuple(found)
