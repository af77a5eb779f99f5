"""Which of our addresses may a stranger hold? Those that carry a token we signed, for one purpose and one thing.

A token is `value.signature`. The value is readable and never personal data; the signature is HMAC-SHA-256 under a key
of its own per purpose, so a token made for one door opens no other. Keys are a list: the first signs, all are read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from itsdangerous import BadSignature
from itsdangerous import Signer as _Signer

from journeys.words import Channel
from recall.errors import Misconfigured
from recall.settings import Settings
from recall.store.links import may_lead

SHORTEST_KEY = 16  # characters
_TOKEN = re.compile(r"[A-Za-z0-9_.~-]{1,300}", re.ASCII)


class Signer:
    """Signs and reads tokens; knows no purpose by itself."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys or any(len(key) < SHORTEST_KEY for key in keys):
            raise Misconfigured(
                f"set RECALL_SIGNING_KEYS to one or more secrets of at least {SHORTEST_KEY} characters, separated by "
                "commas; the first signs links and callbacks, the others are still accepted"
            )
        self._keys = list(reversed(keys))  # itsdangerous signs with the last
        self._signers: dict[str, _Signer] = {}

    def sign(self, purpose: str, value: str) -> str:
        return self._signer(purpose).sign(value).decode()

    def read(self, purpose: str, token: str) -> str | None:
        """The value that was signed; None for anything we did not sign for this purpose."""
        if not _TOKEN.fullmatch(token):
            return None
        try:
            return self._signer(purpose).unsign(token).decode()
        except BadSignature:
            return None

    def _signer(self, purpose: str) -> _Signer:
        if purpose not in self._signers:
            self._signers[purpose] = _Signer(
                self._keys, salt=f"recall.{purpose}", key_derivation="hmac", digest_method=hashlib.sha256
            )
        return self._signers[purpose]


class Preferred(NamedTuple):
    """Whose preference page a token opens."""

    user_id: int  # our id
    address_id: int  # the address the message went to; 0 = none
    channel: Channel  # what one click unsubscribes from


@dataclass(frozen=True)
class Doors:
    """Addresses of `recall serve` as vendors and people see them."""

    public_url: str  # without a slash at the end
    signer: Signer = field(repr=False)
    link_hosts: frozenset[str] = frozenset()  # where links may lead
    app_scheme: str = ""  # and the app's own

    def may_lead(self, target: str) -> bool:
        """May a link of a message lead there?"""
        return may_lead(target, hosts=self.link_hosts, app_scheme=self.app_scheme)

    def hook(self, provider: str, ref: str) -> str:
        """Where a vendor tells what became of one send."""
        return f"{self.public_url}/hooks/{provider}/{self.signer.sign(f'hook.{provider}', ref)}"

    def read_hook(self, provider: str, token: str) -> str | None:
        """The ref a hook token of this provider was made for."""
        return self.signer.read(f"hook.{provider}", token)

    def account_hook(self, provider: str) -> str:
        """Where a vendor tells everything of an account, replies included."""
        return f"{self.public_url}/hooks/{provider}"

    def voice(self, provider: str, ref: str) -> str:
        """Where a voice vendor asks what to say in one call."""
        return f"{self.public_url}/voice/{self.signer.sign('voice', f'{provider}~{ref}')}"

    def read_voice(self, token: str) -> tuple[str, str] | None:
        """Provider and ref of a call."""
        value = self.signer.read("voice", token)
        if value is None:
            return None
        provider, _, ref = value.partition("~")
        return provider, ref

    def preferences(self, user_id: int, address_id: int, channel: Channel) -> str:
        """The preference page of a message, which is also its `List-Unsubscribe` address (RFC 8058)."""
        value = f"{user_id}~{address_id}~{channel.value}"
        return f"{self.public_url}/u/{self.signer.sign('preferences', value)}"

    def read_preferences(self, token: str) -> Preferred | None:
        value = self.signer.read("preferences", token)
        if value is None:
            return None
        user_id, address_id, channel = value.split("~")
        return Preferred(int(user_id), int(address_id), Channel(channel))

    def link(self, token: str) -> str:
        """The short address that leads to a stored target; see `recall.store.links`."""
        return f"{self.public_url}/l/{token}"


def open_doors(settings: Settings) -> Doors:
    """The doors of these settings; raises Misconfigured when they cannot be signed or nobody could reach them."""
    url = settings.public_url.rstrip("/")
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
        raise Misconfigured(
            "set RECALL_PUBLIC_URL to the address under which vendors and people reach `recall serve`, such as "
            "https://recall.example.com"
        )
    signer = Signer([key.get_secret_value() for key in settings.signing_keys])
    return Doors(url, signer, settings.link_hosts, settings.app_scheme)
