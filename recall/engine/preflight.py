"""Would messages reach people, and their answers us? What must be in place before anything is sent for real."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from journeys.policy import Route
from journeys.program import MessageNode
from journeys.words import Channel
from providers.base import Provider
from providers.registry import open_provider
from providers.wire import NoAnswer, Wire
from recall.clock import HOUR, SECOND, Clock
from recall.engine.dispatch import Dispatcher
from recall.engine.pulled import pull_lists
from recall.errors import ChannelDown, Misconfigured
from recall.settings import Settings
from recall.store.addresses import phone_regions
from recall.store.cases import policy_names
from recall.store.connect import Store
from recall.store.due import count_due
from recall.store.policies import LivePolicy, live_policies
from recall.store.versions import Version, all_versions_in_use, published_journeys

PAID = (Channel.SMS, Channel.CALL, Channel.EMAIL)  # channels every message of which costs something


@dataclass(frozen=True)
class Finding:
    """One thing that must hold."""

    name: str
    ok: bool
    detail: str  # what was found and, where it is not well, what to do


class Preflight:
    """Looks at the store, the routes of its policies and the providers behind them; sends nothing."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store, self._settings, self._clock = store, settings, clock
        self._dispatcher = Dispatcher()
        with store.reading() as connection:
            self._policies = live_policies(connection)
        self._providers: dict[str, Provider] = {}

    @property
    def real(self) -> list[str]:
        """Providers in use that reach people."""
        return sorted(name for name, provider in self._providers.items() if not provider.caps.simulated)

    def examine(self, *, messages: int | None = None) -> Iterator[Finding]:
        """Every finding, in the order in which a person would put things right."""
        yield from self._open()
        try:
            for name in self.real:
                yield from self._provider(self._providers[name])
            if any(self._providers[name].caps.reports_delivery for name in self.real):
                yield self._webhooks()
            if self.real:
                yield from self._prices()
            yield from self._hours(messages)
        finally:
            for provider in self._providers.values():
                self._dispatcher.run(provider.close())

    def _open(self) -> Iterator[Finding]:
        routed = {name for live in self._policies.values() for route in _routes(live) for name in route.providers}
        for name in sorted(routed):
            try:
                self._providers[name] = open_provider(name, self._settings, clock=self._clock)
            except Misconfigured as error:
                yield Finding(name, False, str(error))

    # --- providers ----------------------------------------------------------------------------------------

    def _provider(self, provider: Provider) -> Iterator[Finding]:
        """Its own checks (credentials, senders, webhook keys), then whom it keeps as not to be written to."""
        preflight = self._dispatcher.run(provider.preflight())
        for check in preflight.checks:
            yield Finding(f"{provider.name}: {check.name}", check.ok, check.detail)
        name = f"{provider.name}: suppression lists"
        if not hasattr(provider, "pull_suppressions"):
            yield Finding(name, True, "it has none to pull; a stop comes as a reply, or as a refused message")
        elif preflight.ok:
            try:
                yield Finding(
                    name, True, pull_lists(self._store, provider, self._dispatcher, now=self._clock.now()).told()
                )
            except ChannelDown as error:
                yield Finding(name, False, str(error))

    def _webhooks(self) -> Finding:
        """Do receipts, replies and opt-outs find us? Asked as a vendor would, through our public address."""
        url = self._settings.public_url.rstrip("/")
        if not url:
            return Finding(
                "webhooks", False, "set RECALL_PUBLIC_URL: without it no receipt, reply or opt-out comes back"
            )
        try:
            answer = self._dispatcher.run(_get(f"{url}/healthz"))
        except NoAnswer as failure:
            return Finding(
                "webhooks",
                False,
                f"{url}/healthz does not answer ({failure.code}): is `recall serve` running, {_PROXY}",
            )
        if answer.status != 200 or answer.json().get("ok") is not True:
            return Finding(
                "webhooks", False, f"{url}/healthz answers {answer.status}, and not as recall does: {_PROXY}"
            )
        return Finding("webhooks", True, f"{url} answers")

    # --- money and time -----------------------------------------------------------------------------------

    def _prices(self) -> Iterator[Finding]:
        """Budgets count with the price book: a channel it leaves out costs nothing, and no budget stops it."""
        with self._store.reading() as connection:
            used = _channels_used(self._policies, published_journeys(connection))
            regions = phone_regions(connection)
        for name, channels in sorted(used.items()):
            live = self._policies[name]
            priced = {price.channel for price in live.policy.prices.prices}
            missing = [channel.value for channel in PAID if channel in channels - priced]
            allowed = set(live.policy.regions.allow) or regions
            where = ", ".join(sorted((regions & allowed) - set(live.policy.regions.deny))) or "no country yet"
            told = f"one price in {live.policy.prices.currency} for each channel in use; phones of: {where}"
            todo = f"no price for {', '.join(missing)}, so no budget stops it; add it to `prices` (0 if it is free)"
            yield Finding(f"prices of {name}", not missing, todo if missing else told)

    def _hours(self, messages: int | None) -> Iterator[Finding]:
        """How long what is due takes at the sender's rate; or so many messages, on each route."""
        if messages is not None:
            for name, live in sorted(self._policies.items()):
                for channel, route in live.policy.routes.items():
                    yield Finding(f"time of {name}/{channel}", True, self._told_time(route, messages))
            return
        now = self._clock.now()
        with self._store.reading() as connection:
            due = [
                (version, node, count)
                for version in all_versions_in_use(connection)
                for node in version.program.nodes
                if isinstance(node, MessageNode)
                and (count := count_due(connection, version.id, node.id, due_before=now))
            ]
        for version, node, count in due:
            under = self._policies.get(policy_names(version.program.journey)[0])
            way = under.policy.routes.get(node.channel) if under is not None else None
            if way is not None:
                yield Finding(f"time of {version.name}/{node.name}", True, self._told_time(way, count))

    def _told_time(self, route: Route, messages: int) -> str:
        provider = route.providers[0]
        senders = len(route.senders_of(provider))
        took = messages * SECOND // max(route.per_second * senders, 1)
        many = f"{senders} senders" if senders > 1 else "one sender"
        return f"{messages} messages take {took / HOUR:.1f} hours: {provider}, {many}, {route.per_second} a second each"


_PROXY = "and does the proxy in front lead there?"


async def _get(url: str) -> Any:
    wire = Wire()
    try:
        return await wire.ask("GET", url)
    finally:
        await wire.close()


def _routes(live: LivePolicy) -> list[Route]:
    return list(live.policy.routes.values())


def _channels_used(policies: dict[str, LivePolicy], versions: list[Version]) -> dict[str, set[Channel]]:
    """By policy in force: the channels its journeys really send on."""
    used: dict[str, set[Channel]] = {}
    for version in versions:
        channels = {node.channel for node in version.program.nodes if isinstance(node, MessageNode)}
        for name in policy_names(version.program.journey):
            if name in policies:
                used.setdefault(name, set()).update(channels)
    return used
