"""Does the page say the same in every language, and nothing that is not written down?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recall.errors import Misconfigured
from recall.measure.page import QUERIES
from recall.measure.words import LANGUAGES, Words, read_texts

ROOM = Path(__file__).parents[2] / "recall" / "measure"


def _placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"\{(\w+)\}", text))


def test_both_languages_have_the_same_keys_and_placeholders():
    english, chinese = (read_texts(lang) for lang in LANGUAGES)
    assert list(english["texts"]) == list(chinese["texts"])
    for key, text in english["texts"].items():
        assert _placeholders(text) == _placeholders(chinese["texts"][key]), key


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_definition_that_can_be_linked_is_written(lang: str):
    assert set(read_texts(lang)["definitions"]) == set(QUERIES)


def test_every_text_the_page_asks_for_is_there():
    source = "".join(path.read_text() for path in [*ROOM.rglob("*.py"), *ROOM.glob("report/*.j2")])
    asked = set(re.findall(r"words\(\s*['\"]([a-z0-9_.]+)['\"]", source))
    assert asked
    assert asked <= set(read_texts("en")["texts"])


def test_another_language_is_refused():
    with pytest.raises(Misconfigured, match="en and zh-CN"):
        Words("fr")
