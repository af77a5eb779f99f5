"""Does a token open the one door it was made for, under every key that is still in force?"""

from __future__ import annotations

import pytest

from journeys.words import Channel
from recall.errors import Misconfigured
from recall.settings import Settings
from recall.store.tokens import Doors, Preferred, Signer, open_doors

OLD, NEW = "an old key of sixteen letters", "a new key of sixteen letters"
REF = "0123456789abcdef01234567"


def doors(*keys: str) -> Doors:
    return Doors("https://r.example", Signer(keys))


def last(url: str) -> str:
    return url.rsplit("/", 1)[1]


def test_what_was_signed_is_read() -> None:
    made = doors(NEW)
    assert made.read_hook("twilio", last(made.hook("twilio", REF))) == REF
    assert made.read_voice(last(made.voice("twilio", REF))) == ("twilio", REF)
    whose = Preferred(12, 34, Channel.EMAIL)
    assert made.read_preferences(last(made.preferences(*whose))) == whose
    assert made.account_hook("sendgrid") == "https://r.example/hooks/sendgrid"
    assert made.link("abc") == "https://r.example/l/abc"


def test_a_token_for_one_door_opens_no_other() -> None:
    made = doors(NEW)
    tokens = [made.hook("a", REF), made.hook("b", REF), made.voice("a", REF), made.preferences(1, 2, Channel.SMS)]
    readers = [
        lambda t: made.read_hook("a", t),
        lambda t: made.read_hook("b", t),
        made.read_voice,
        made.read_preferences,
    ]
    opened = [[read(last(token)) is not None for read in readers] for token in tokens]
    assert opened == [[n == m for m in range(4)] for n in range(4)]


def test_the_first_key_signs_and_all_are_read() -> None:
    before, between, after = doors(OLD), doors(NEW, OLD), doors(NEW)
    old = last(before.hook("a", REF))
    new = last(between.hook("a", REF))
    assert between.read_hook("a", old) == between.read_hook("a", new) == after.read_hook("a", new) == REF
    assert before.read_hook("a", new) is None
    assert after.read_hook("a", old) is None


def test_tokens_are_short_and_hold_nothing_that_must_be_escaped() -> None:
    token = last(doors(NEW).hook("a", REF))
    assert len(token) == len(REF) + 1 + 43
    assert token.startswith(f"{REF}.")


@pytest.mark.parametrize("token", ["", ".", "a.b", "é.x", "\x00", "a" * 10_000, "😀"])
def test_nonsense_is_no_token(token: str) -> None:
    assert doors(NEW).read_hook("a", token) is None
    assert doors(NEW).read_preferences(token) is None


@pytest.mark.parametrize(
    "change",
    [
        {"signing_keys": ()},
        {"signing_keys": ("short",)},
        {"public_url": ""},
        {"public_url": "recall.example.com"},
        {"public_url": "https://r.example/?x=1"},
        {"public_url": "ftp://r.example"},
    ],
)
def test_doors_that_cannot_be_signed_or_reached_do_not_open(settings: Settings, change: dict[str, object]) -> None:
    good: dict[str, object] = {"signing_keys": (NEW,), "public_url": "https://r.example/recall/"}
    assert open_doors(Settings(**good)).account_hook("x") == "https://r.example/recall/hooks/x"  # type: ignore[arg-type]
    with pytest.raises(Misconfigured, match="set RECALL_"):
        open_doors(Settings(**{**good, **change}))  # type: ignore[arg-type]
