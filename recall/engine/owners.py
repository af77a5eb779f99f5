"""Who answers for the programme, and does the weekly page reach them? By e-mail, to the addresses of the settings only.

No journey, no gate and no ledger: the owners are not people to be brought back. Whoever said stop is left alone all
the same, and the kill switch holds.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from journeys.words import AddressKind, Channel, Outcome
from providers.base import Address, Content, Outbound, Provider
from providers.registry import open_provider
from recall.clock import DAY, Instant
from recall.engine.dispatch import Called, Dispatcher
from recall.engine.trial import Letter, refuse_unwanted
from recall.errors import Misconfigured
from recall.measure.headlines import Mail
from recall.settings import Mode, Settings
from recall.store.connect import Store
from recall.store.controls import record_action
from recall.store.gate_pass import new_refs

NAME = "review"


@dataclass
class Mailed:
    """What became of the page's e-mails; no address, since this is shown beside runs."""

    outcomes: Counter[str] = field(default_factory=Counter)  # Outcome -> owners, or "dry_run"
    problems: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        return not self.problems and self.outcomes.keys() <= {Outcome.ACCEPTED.value, "dry_run"}

    def told(self) -> str:
        """In words."""
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.outcomes.items()))
        return "; ".join([f"e-mail to owners: {counts or 'none'}", *self.problems])


def owners_of(settings: Settings) -> tuple[str, ...]:
    """Their addresses; raises Misconfigured when nobody is named."""
    if not settings.owners:
        raise Misconfigured("nobody is named to get the page: set RECALL_OWNERS to their e-mail addresses")
    return tuple(dict.fromkeys(owner.lower() for owner in settings.owners))


def mail_owners(store: Store, settings: Settings, mail: Mail, *, who: str, now: Instant) -> Mailed:
    """One e-mail to each owner, with the page as its HTML; what cannot be sent is told and not raised."""
    owners, mailed = owners_of(settings), Mailed()
    if settings.mode is Mode.DRY_RUN:
        mailed.outcomes["dry_run"] = len(owners)
        return mailed
    name = "outbox" if settings.mode is Mode.REHEARSAL else settings.owners_provider
    provider = open_provider(name, settings)
    content = Content(mail.text, mail.subject, mail.html, locale=mail.lang)
    letters = [Letter(Channel.EMAIL, Address(AddressKind.EMAIL, owner), content) for owner in owners]
    wanted = [letter for letter in letters if _may_go(store, provider, letter, mailed)]
    called = _send(store, provider, wanted, who=who, now=now)
    mailed.outcomes.update(result.outcome.value for result in called.results)
    mailed.problems += [str(called.down)] if called.down is not None else []
    return mailed


def _may_go(store: Store, provider: Provider, letter: Letter, mailed: Mailed) -> bool:
    try:
        refuse_unwanted(store, provider, letter)
    except Misconfigured as why:
        mailed.outcomes[Outcome.NOT_SENT.value] += 1
        mailed.problems += [str(why)] if str(why) not in mailed.problems else []
        return False
    return True


def _send(store: Store, provider: Provider, letters: list[Letter], *, who: str, now: Instant) -> Called:
    """One request where the provider can; the audit keeps who, provider and refs, never an address."""
    refs, meta = new_refs(len(letters)), {"journey": NAME, "step": NAME}
    batch = [
        Outbound(ref, letter.channel, NAME, letter.address, letter.content, letter.sender, now + DAY, meta)
        for ref, letter in zip(refs, letters, strict=True)
    ]
    with store.writing() as connection:
        for ref in refs:
            record_action(connection, "mail review", f"{provider.name} {ref}", who=who, why="", at=now)
    dispatcher = Dispatcher()
    called = dispatcher.call(provider, batch) if batch else Called()
    dispatcher.run(provider.close())
    return called
