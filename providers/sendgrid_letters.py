"""How do a thousand personal texts become one request in which everybody still reads exactly their own?

Lines that are the same for all stand in the request once; where people differ stands a tag, and each person's own
line is a substitution. A tag holds a word that occurs in no text of the request, so that nothing else is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonprefix
from typing import Any

from providers.base import Outbound

MAX_RECIPIENTS = 1000
_TAG_BYTES = 20
MAX_OWN_BYTES = 9_500  # SendGrid takes 10,000 bytes of substitutions per person (API description, 2026-11)


@dataclass(frozen=True)
class Shape:
    """The texts of one request."""

    subject: str | None  # None: each person has their own
    body: str
    html: str
    own: Sequence[Mapping[str, str]] = field(repr=False)  # tag -> line, per person; empty: nothing differs

    def text_for(self, number: int) -> tuple[str, str]:
        """Body and HTML as the person with this number reads them."""
        body, html = self.body, self.html
        for tag, line in self.own[number].items() if self.own else ():
            body, html = body.replace(tag, line), html.replace(tag, line)
        return body, html


def groups_of(batch: Sequence[Outbound]) -> Iterator[list[Outbound]]:
    """Messages that may share a request: one sender and step, the same kinds of text, each address once, at most 1000.

    Who has more of their own than SendGrid takes as substitutions gets a request alone.
    """
    for alike in _alike(batch):
        small = alike
        if max(map(_at_most, alike)) > MAX_OWN_BYTES:
            own = shape(alike).own
            small = [message for n, message in enumerate(alike) if not own or _size(own[n]) <= MAX_OWN_BYTES]
            kept = {message.ref for message in small}
            yield from ([message] for message in alike if message.ref not in kept)
        for start in range(0, len(small), MAX_RECIPIENTS):
            yield small[start : start + MAX_RECIPIENTS]


def _alike(batch: Sequence[Outbound]) -> Iterator[list[Outbound]]:
    groups: dict[tuple[str, str, str, bool, int], list[Outbound]] = {}
    met: dict[str, int] = {}  # SendGrid refuses a whole request in which one address stands twice
    for message in batch:
        value = message.address.value.lower()
        times = met[value] = met.get(value, -1) + 1
        journey, step = message.meta.get("journey", ""), message.meta.get("step", "")
        key = (message.sender, journey, step, bool(message.content.html), times)
        groups.setdefault(key, []).append(message)
    yield from groups.values()


def _at_most(message: Outbound) -> int:
    """Bytes of substitutions if no line at all were shared; quick, as it is asked for every message."""
    body, html = message.content.body, message.content.html
    lines = body.count("\n") + html.count("\n") + 2
    return sum(len(text) * (1 if text.isascii() else 4) for text in (body, html)) + lines * _TAG_BYTES


def _size(own: Mapping[str, str]) -> int:
    return sum(len(tag) + len(line.encode()) for tag, line in own.items())


def shape(group: Sequence[Outbound]) -> Shape:
    """The texts of these messages, with what they share only once."""
    first = group[0].content
    titles = {message.content.title for message in group}
    subject = first.title if len(titles) == 1 else None
    bodies = [message.content.body for message in group]
    pages = [message.content.html for message in group]
    if _same(bodies) and _same(pages):
        return Shape(subject, first.body, first.html, ())
    word = _free_word([*bodies, *pages, *titles])
    own: list[dict[str, str]] = [{} for _ in group]
    body = _factor(bodies, f"-{word}t", own)
    html = _factor(pages, f"-{word}h", own)
    return Shape(subject, body, html, own)


def _same(texts: Sequence[str]) -> bool:
    first = texts[0]
    return all(text == first for text in texts)


def _free_word(texts: Sequence[str]) -> str:
    number = 0
    while any(f"-recall{number}x" in text for text in texts):
        number += 1
    return f"recall{number}x"


def _factor(texts: Sequence[str], tag: str, own: Sequence[dict[str, str]]) -> str:
    """One text with tags where these differ, line by line; their own lines go to `own`."""
    if _same(texts):
        return texts[0]
    head = commonprefix(texts)  # noqa: RUF071  # of texts, not of paths
    start = head.rfind("\n") + 1  # whole lines only
    lines = [text[start:].split("\n") for text in texts]
    if len({len(each) for each in lines}) > 1:
        return texts[0][:start] + _tagged([text[start:] for text in texts], f"{tag}0-", own)
    shared, count = [], len(texts)
    for number, column in enumerate(zip(*lines, strict=True)):
        same = column.count(column[0]) == count
        shared.append(column[0] if same else _tagged(column, f"{tag}{number}-", own))
    return texts[0][:start] + "\n".join(shared)


def _tagged(texts: Sequence[str], tag: str, own: Sequence[dict[str, str]]) -> str:
    for values, text in zip(own, texts, strict=True):
        values[tag] = text
    return tag


# --- the request ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What every request of an account has."""

    reply_to: str = ""
    asm_group_id: int | None = None
    ip_pool: str = ""
    sandbox: bool = False
    track_opens: bool = True
    track_clicks: bool = False

    def request(self, made: Shape, group: Sequence[Outbound], *, name: str, sender: str) -> dict[str, Any]:
        """The body of POST /v3/mail/send."""
        meta = group[0].meta
        categories = [word for key in ("journey", "step") if (word := meta.get(key, ""))]
        contents = [("text/plain", made.body), ("text/html", made.html)]
        own = made.own
        return {
            "personalizations": [
                _personal(message, own[n] if own else None, has_subject=made.subject is not None)
                for n, message in enumerate(group)
            ],
            "from": {"email": sender, "name": name} if name else {"email": sender},
            **({"subject": made.subject} if made.subject is not None else {}),
            "content": [{"type": kind, "value": value} for kind, value in contents if value],
            **({"categories": list(dict.fromkeys(categories))} if categories else {}),
            **self._settings(),
        }

    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "tracking_settings": {
                "click_tracking": {"enable": self.track_clicks, "enable_text": False},
                "open_tracking": {"enable": self.track_opens},
                "subscription_tracking": {"enable": False},  # it would add a text of its own
            }
        }
        if self.reply_to:
            settings["reply_to"] = {"email": self.reply_to}
        if self.asm_group_id is not None:
            settings["asm"] = {"group_id": self.asm_group_id}
        if self.ip_pool:
            settings["ip_pool_name"] = self.ip_pool
        if self.sandbox:
            settings["mail_settings"] = {"sandbox_mode": {"enable": True}}
        return settings


def _personal(message: Outbound, own: Mapping[str, str] | None, *, has_subject: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"to": [{"email": message.address.value}], "custom_args": {"ref": message.ref}}
    unsubscribe = message.meta.get("unsubscribe")
    if unsubscribe:  # RFC 8058
        entry["headers"] = {
            "List-Unsubscribe": f"<{unsubscribe}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
    if not has_subject:
        entry["subject"] = message.content.title
    if own:
        entry["substitutions"] = own
    return entry
