"""In which language is the page? Its texts, read from the files beside it; a missing one is an error, not a gap."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from recall.errors import Misconfigured
from recall.measure.horizon import PROGRAMME

LANGUAGES = ("en", "zh-CN")


class Words:
    """Texts of one language."""

    def __init__(self, lang: str) -> None:
        if lang not in LANGUAGES:
            raise Misconfigured(f"the review is written in {' and '.join(LANGUAGES)}, not in {lang!r}")
        self.lang = lang
        self._texts = read_texts(lang)

    def __call__(self, key: str, /, **values: object) -> str:
        """The text of this key with its values filled in."""
        text: str = self._texts["texts"][key]
        return text.format(**values) if values else text

    def name_of(self, subject: str) -> str:
        """What a journey, or the programme as a whole, is called."""
        return self("programme") if subject == PROGRAMME else subject

    def named(self, kind: str, name: str) -> str:
        """The word for something that may also be a name somebody else gave."""
        return str(self._texts["texts"].get(f"{kind}.{name}", name))

    def definition(self, key: str) -> tuple[str, str]:
        """(title, meaning) of a number."""
        title, meaning = self._texts["definitions"][key]
        return title, meaning


@cache
def read_texts(lang: str) -> dict[str, Any]:
    content = files("recall.measure").joinpath("report", f"{lang}.yaml").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(content)
    return found
