"""Which providers are there, and how is one opened? A vendor's file is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import cast

from journeys.words import Channel
from providers.base import Provider
from recall.clock import Clock, SystemClock
from recall.errors import Misconfigured
from recall.settings import Settings

# Each module has `make(name, settings, clock, options)`.
KINDS: dict[str, str] = {
    "fcm_push": "providers.fcm_push",
    "http_gateway": "providers.http_gateway",
    "in_app": "providers.in_app",
    "outbox": "providers.outbox",
    "sendgrid_email": "providers.sendgrid_email",
    "task": "providers.task",
    "twilio_sms": "providers.twilio_sms",
    "twilio_voice": "providers.twilio_voice",
    "world": "providers.world",
}

# What a kind sends, where that is not told by its options: `http_gateway` follows its profile, the simulated take all.
CHANNELS: dict[str, Channel] = {
    "fcm_push": Channel.PUSH,
    "in_app": Channel.IN_APP,
    "sendgrid_email": Channel.EMAIL,
    "task": Channel.TASK,
    "twilio_sms": Channel.SMS,
    "twilio_voice": Channel.CALL,
}


def kind_of(name: str, settings: Settings) -> str:
    """The kind behind a provider's name."""
    return settings.provider_options.get(name, {}).get("kind", name)


def open_provider(name: str, settings: Settings, *, clock: Clock | None = None) -> Provider:
    """Open one provider; raises Misconfigured for a name nobody knows.

    A second account of one vendor has a name of its own and says whose it is: the option `kind` of
    `provider_options`. `clock` is the wall clock unless the store has a virtual one.
    """
    options = settings.provider_options.get(name, {})
    kind = kind_of(name, settings)
    if kind not in KINDS:
        raise Misconfigured(f"no provider is called {kind!r}; there are: {', '.join(sorted(KINDS))}")
    module = import_module(KINDS[kind])
    rest = {key: value for key, value in options.items() if key != "kind"}
    return cast(Provider, module.make(name, settings, clock or SystemClock(), rest))


def open_providers(names: Iterable[str], settings: Settings, *, clock: Clock | None = None) -> dict[str, Provider]:
    """Open several, each name once."""
    return {name: open_provider(name, settings, clock=clock) for name in dict.fromkeys(names)}
