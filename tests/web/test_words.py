"""Which replies mean stop?"""

from __future__ import annotations

import pytest

from journeys.loader import load_policy
from journeys.policy import OptOutWords
from recall.store.inbound import Meaning
from recall.web.words import Words, meaning_of, words_of
from tests.engine.conftest import SHIPPED


@pytest.fixture(scope="module")
def words() -> Words:
    return words_of([load_policy(SHIPPED / "policies" / "cn-consumer-finance.yaml").noun.opt_out])


@pytest.mark.parametrize(
    "text",
    ["TD", "td", " td ", "ＴＤ", "ｔｄ", "　ＴＤ　", "\tTd\r\n", "T", "n", "Ｒ", "退订", "拒收", " 退订 ", "stop",
     "Stop", "ＳＴＯＰ", "stopall", "Unsubscribe", "cancel", "END", "quit", "opt-out", "ｏｐｔ－ｏｕｔ"],
)  # fmt: skip
def test_these_stop(words: Words, text: str) -> None:
    assert meaning_of(text, words) is Meaning.STOP


@pytest.mark.parametrize("text", ["START", "start", "恢复", " 订阅 ", "ＵＮＳＴＯＰ"])
def test_these_start_again(words: Words, text: str) -> None:
    assert meaning_of(text, words) is Meaning.START


@pytest.mark.parametrize(
    "text",
    ["STOP PLEASE", "please stop!", "我要退订", "请不要再发了，拒收", "TD。", "STOP.", "opt-out now",
     "Ｐｌｅａｓｅ　ＳＴＯＰ", "don't STOP me", "取消订单"],
)  # fmt: skip
def test_these_a_person_reads(words: Words, text: str) -> None:
    assert meaning_of(text, words) is Meaning.REVIEW


@pytest.mark.parametrize(
    "text", ["", "  ", "谢谢", "I don't know", "t r n", "stopping by tomorrow", "friend", "weekend", "1", "\x00"]
)
def test_these_mean_nothing(words: Words, text: str) -> None:
    assert meaning_of(text, words) is None


def test_a_word_that_stops_under_one_policy_does_not_start_under_another() -> None:
    words = words_of([OptOutWords(stop=("Y",), start=("OK",)), OptOutWords(stop=("STOP",), start=("y",))])
    assert meaning_of("y", words) is Meaning.STOP
    assert meaning_of("ok", words) is Meaning.START


def test_a_very_long_reply_is_read_in_part(words: Words) -> None:
    assert meaning_of("x " * 10**6 + "STOP", words) is None
