"""With what does the engine work? Store, providers, clock and a few switches, opened once per process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from providers.base import Provider
from providers.registry import open_providers
from recall.clock import Clock
from recall.engine.dispatch import Dispatcher
from recall.engine.fitness import Fit
from recall.engine.guards import MARK_FILE, Marker
from recall.engine.spool import spool_dir
from recall.engine.tripwire import TRIPWIRE_FILE, Tripwire
from recall.errors import Misconfigured
from recall.settings import Mode, Settings
from recall.store.connect import Store, clock_of, confirm_address_key, open_store
from recall.store.controls import ControlKind, set_control
from recall.store.gate_pass import new_refs
from recall.store.migrations import check
from recall.store.policies import live_policies
from recall.store.suppressions import suppressions_known
from recall.store.tokens import Doors, open_doors

_COLLECT_AFTER = 20_000  # objects; a chunk makes some tens of thousands, at 700 each it cost 5 % of a run
_GATES = 2  # a third makes nothing quicker on two cores (docs/performance.md)


@dataclass(frozen=True)
class Setup:
    """Everything a pass needs besides the journey."""

    store: Store
    providers: Mapping[str, Provider]
    clock: Clock
    spool_dir: Path
    mode: Mode = Mode.LIVE
    dispatcher: Dispatcher = field(default_factory=Dispatcher)
    refs: Callable[[int], list[str]] = new_refs
    doors: Doors | None = None  # where people and vendors reach `recall serve`; None: nowhere
    testers: frozenset[str] = frozenset()  # host ids that count as test recipients
    confirm_urls: Mapping[str, str] = field(default_factory=dict)  # last-second checks of the host, by name
    fit: Fit | None = None  # asked before each batch; None: no message reaches people, or not everybody
    marker: Marker | None = None  # what is known outside the store; None: nothing real is sent
    overlaps: bool = False  # gate a chunk while the one before it is called
    gates: int = 1  # batches side by side: while one is called, or waits for the store, another is rendered

    def provider(self, name: str) -> Provider:
        """The provider of this name; a rehearsal keeps messages in the outbox instead."""
        wanted = "outbox" if self.mode is Mode.REHEARSAL else name
        try:
            return self.providers[wanted]
        except KeyError:
            raise Misconfigured(
                f"the policy routes messages to provider {wanted!r}, which is not set up; "
                f"set up are: {', '.join(sorted(self.providers)) or 'none'}"
            ) from None


def open_setup(settings: Settings, *, store: Store | None = None) -> Setup:
    """Open everything a pass needs; raises Misconfigured rather than let a wrong store or provider send.

    The schema must be current, the address key the store's own; a simulated store takes only providers that
    send to nobody; live providers want suppressions imported, or declared none.
    """
    store = open_store(settings) if store is None else store
    check(store.engine)
    confirm_address_key(store)
    clock = clock_of(store)
    providers = open_providers(sorted(_routed(store) | {"outbox"}), settings, clock=clock)
    _refuse_mixture(store, providers, settings)
    keep_what_is_loaded()
    marker, tripwire = _guards(store, providers, settings, clock)
    return Setup(
        store,
        providers,
        clock,
        spool_dir(settings.var_dir, store),
        settings.mode,
        doors=open_doors(settings) if settings.public_url else None,
        testers=settings.test_recipients,
        confirm_urls=settings.confirm_urls,
        dispatcher=Dispatcher(tripwire),
        marker=marker,
        fit=_fit(store, providers, settings),
        overlaps=marker is not None,
        gates=_GATES if marker is not None else 1,
    )


@cache
def keep_what_is_loaded() -> None:
    """Tell the garbage collector, once per process, that everything loaded by now stays, and to look rarely.

    Else it walks a hundred thousand functions and classes again and again while chunks come and go, whose own rows
    hold no circles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


def _guards(
    store: Store, providers: Mapping[str, Provider], settings: Settings, clock: Clock
) -> tuple[Marker | None, Tripwire | None]:
    """Where messages reach people, what was sent is remembered outside the store, too."""
    if all(provider.caps.simulated for provider in providers.values()):
        return None, None

    def trip(why: str) -> None:
        with store.writing() as connection:
            set_control(connection, ControlKind.KILL_SWITCH, "", who="recall", why=why, at=clock.now())

    marker = Marker(store, settings.var_dir / MARK_FILE)
    return marker, Tripwire(settings.var_dir / TRIPWIRE_FILE, key=store.address_key, now=clock.now, trip=trip)


def _fit(store: Store, providers: Mapping[str, Provider], settings: Settings) -> Fit | None:
    """In live mode, where messages reach people."""
    real = [name for name, provider in providers.items() if not provider.caps.simulated]
    return Fit(store, real, days=settings.preflight_days) if real and settings.mode is Mode.LIVE else None


def _routed(store: Store) -> set[str]:
    """Providers any policy in force routes messages to."""
    with store.reading() as connection:
        policies = live_policies(connection).values()
    return {name for live in policies for route in live.policy.routes.values() for name in route.providers}


def _refuse_mixture(store: Store, providers: Mapping[str, Provider], settings: Settings) -> None:
    real = sorted(name for name, provider in providers.items() if not provider.caps.simulated)
    if real and store.fact("simulated") == "true":
        raise Misconfigured(
            f"this store is simulated, and {', '.join(real)} would message real people; use another store"
        )
    if real and settings.mode is Mode.LIVE and not suppressions_known(store):
        raise Misconfigured(
            "nobody has said who must not be messaged: import suppressions with `recall import suppressions FILE`, "
            "or declare that there are none with `recall import suppressions --none`"
        )
