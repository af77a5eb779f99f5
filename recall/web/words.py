"""Does this reply mean stop, or start again? Exact words of the policies in force; what only holds one is read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from journeys.policy import OptOutWords
from recall.store.inbound import Meaning

_LONGEST_READ = 2_000  # characters
_WORD = re.compile(r"[^\W_]+", re.UNICODE)


@dataclass(frozen=True)
class Words:
    """Folded words of all policies in force; a word that stops under one does not start under another."""

    stop: frozenset[str]
    start: frozenset[str]


def words_of(policies: Iterable[OptOutWords]) -> Words:
    """The words of several policies together: a reply tells the number it came to, not the policy."""
    rules = list(policies)
    stop = frozenset(fold(word) for rule in rules for word in rule.stop)
    return Words(stop, frozenset(fold(word) for rule in rules for word in rule.start) - stop)


def fold(text: str) -> str:
    """Full width becomes half width, surrounding space goes, letters become capital."""
    return unicodedata.normalize("NFKC", text[:_LONGEST_READ]).strip().upper()


def meaning_of(text: str, words: Words) -> Meaning | None:
    """None for a reply that has nothing to do with stopping."""
    said = fold(text)
    if said in words.stop:
        return Meaning.STOP
    if said in words.start:
        return Meaning.START
    return Meaning.REVIEW if _holds_one(said, words.stop) else None


def _holds_one(said: str, stop: frozenset[str]) -> bool:
    """Latin words count as whole words of two letters or more (`T` is in every sentence), others anywhere."""
    parts = set(_WORD.findall(said))
    return any(
        word in said if not word.isascii() else len(word) > 1 and (word in parts or ("-" in word and word in said))
        for word in stop
    )
