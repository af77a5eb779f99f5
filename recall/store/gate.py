"""May this user get this message now? The one decision right before a message: go, or a reason.

`decide` is asked by the run, `plan`, `explain` and `replay`; the last three ask without locks and write nothing.
Part 1 picks due rows and gives each its reason (`gate_reasons`), part 2 renders and prices what passed, in
(due_at, user_id) order, and stops at the first message that no budget covers. Part 3 is `gate_pass`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    func,
    select,
)

from journeys.durations import local_to_instant
from journeys.rendering import Rendered, Renderer, RenderFailed
from journeys.windows import WindowRules, is_open, next_open, window_rules
from journeys.words import ACTION_OF, Action, Channel, Holdout, Reason
from recall.clock import DAY, HOUR, Instant, slot_up
from recall.errors import Misconfigured
from recall.settings import Mode
from recall.store import schema
from recall.store.audience import Cutoffs
from recall.store.bulk import among, ids_parameter
from recall.store.gate_blocks import blocked
from recall.store.gate_reasons import Case, U
from recall.store.gate_rows import Page, Row, first_per_address, in_pages, pick, read_named, read_page
from recall.store.links import new_tokens
from recall.store.pricing import Price, Pricer
from recall.store.purse import Purse, count_calling, local_day, open_purse
from recall.store.tokens import Doors
from recall.store.zones import Zones, read_zones

_HELD_RECHECK = HOUR  # a hold that ends wakes its enrolments earlier (converge); this is the backstop


@dataclass(slots=True)
class Decision:
    """Go (`reason` None, or HOLDOUT for a shadow), or a reason and what follows."""

    row: Row
    reason: Reason | None
    until: Instant | None = None  # when a deferred row is due again
    rendered: Rendered | None = None
    price: Price | None = None
    link: str = ""  # where a tap or click leads: the short address where there is one
    link_token: str = ""  # of the short address

    @property
    def goes(self) -> bool:
        return self.reason is None

    @property
    def action(self) -> Action | None:
        return None if self.reason is None else ACTION_OF[self.reason]


@dataclass(frozen=True)
class Gate:
    """One step of one version under one policy, prepared once and asked for many chunks."""

    of: Case
    named: Select[Any]  # asks for given enrolments
    paged: Select[Any]  # asks for what is due
    cutoffs: Cutoffs
    renderer: Renderer
    rules: WindowRules
    doors: Doors | None = None  # where people and vendors reach us; None: links lead straight to their target
    testers: frozenset[str] = frozenset()  # host ids that count as test recipients

    @property
    def shortens(self) -> bool:
        """Links of texts go through our short address, so that a click is seen; a push opens the app itself."""
        return bool(self.doors and self.of.node.link and self.of.channel in (Channel.SMS, Channel.EMAIL))


@dataclass
class Chunk:
    """What one pass decided, and what it read on the way."""

    now: Instant
    decisions: list[Decision]
    zones: Mapping[int, Zones]
    purse: Purse
    last: tuple[Instant, int] | None = None  # (due_at, user_id) of the last row seen; None when no more is due
    blocked: Reason | None = None  # holds for every row of the step; then nothing was decided one by one
    reasons: dict[Reason, int] = field(default_factory=dict)


def prepare(
    of: Case,
    *,
    lock: bool,
    jurisdictions: Sequence[str] | None = None,
    but: Sequence[str] = (),
    doors: Doors | None = None,
    testers: frozenset[str] = frozenset(),
) -> Gate:
    """Build the statement of part 1; `jurisdictions` limits it to some users (None: all `but` these).

    Raises Misconfigured for a link that may not stand in a message.
    """
    if doors is not None and of.node.link and not doors.may_lead(of.node.link):
        raise Misconfigured(
            f"{of.version.name}/{of.node.name}: links may not lead to {of.node.link}; add its host to RECALL_LINK_HOSTS"
        )
    gate = _build(of, None if jurisdictions is None else tuple(jurisdictions), tuple(but), lock=lock)
    return replace(gate, doors=doors, testers=testers)


@lru_cache(maxsize=256)
def _build(of: Case, jurisdictions: tuple[str, ...] | None, but: tuple[str, ...], *, lock: bool) -> Gate:
    """What does not change from one run to the next is built once."""
    cutoffs = Cutoffs(of.zone)
    renderer = Renderer(of.version.program, of.channel, of.node.template, brand=of.policy.brand_name or "")
    statement = pick(of, cutoffs, lock=lock)
    if jurisdictions is not None:
        statement = statement.where(U.c.jurisdiction.in_(jurisdictions))
    elif but:
        statement = statement.where(U.c.jurisdiction.not_in(but))
    rules = window_rules(of.policy, of.version.program.journey, of.channel)
    return Gate(of, statement, in_pages(statement, of.node.id), cutoffs, renderer, rules)


def decide(connection: Connection, gate: Gate, page: Page, *, now: Instant, lock: bool) -> Chunk:
    """Parts 1 and 2 for one page of due rows; nothing is written, and locks are taken only if asked for."""
    zones = read_zones(connection)
    reason = blocked(connection, gate.of, now)
    if reason is not None:
        return Chunk(now, [], zones, Purse({}, {}), blocked=reason)
    purse = open_purse(connection, gate.of, now, lock=False)
    open_zones = [zone_id for zone_id, names in zones.items() if is_open(gate.rules, names, now)]
    facts = {"now": now, "open_zones": open_zones, "ramp_left": purse.ramp_left, **gate.cutoffs.values(now)}
    rows = _read(connection, gate, page, facts)
    kept = first_per_address(rows)
    passed = [row for row in kept if row.reason is None]
    if lock and passed:
        purse = open_purse(connection, gate.of, now, lock=True)
    outcome = {d.row.id: d for d in _part_two(connection, gate, passed, purse, now)}
    decisions = [outcome.get(row.id) or _hold_back(gate, row, Reason(str(row.reason)), now, zones) for row in kept]
    last = (rows[-1].due_at, rows[-1].user_id) if len(rows) == page.limit else None
    chunk = Chunk(now, decisions, zones, purse, last)
    for decision in decisions:
        if decision.reason is not None:
            chunk.reasons[decision.reason] = chunk.reasons.get(decision.reason, 0) + 1
    return chunk


def _read(connection: Connection, gate: Gate, page: Page, facts: dict[str, Any]) -> list[Row]:
    if page.enrolments is None:
        return read_page(connection, gate.paged, page, facts)
    return read_named(connection, gate.named, page.enrolments, facts)


def _part_two(connection: Connection, gate: Gate, rows: Sequence[Row], purse: Purse, now: Instant) -> list[Decision]:
    """Render, price and pay for what passed part 1."""
    if not rows:
        return []
    spent = _spent_per_user(connection, gate.of, rows)
    tokens = new_tokens(len(rows)) if gate.shortens else [""] * len(rows)
    values = _values(connection, gate, rows, tokens)
    rendered = gate.renderer.render_many(values, [row.locale for row in rows])
    till = _Till(gate, Pricer(gate.of), purse, spent, now)
    decisions = [till.afford(row, written) for row, written in zip(rows, rendered, strict=True)]
    for decision, token, given in zip(decisions, tokens, values, strict=True):
        decision.link, decision.link_token = given["link"], token
    _keep_near(connection, gate, decisions, now)
    return decisions


def _keep_near(connection: Connection, gate: Gate, decisions: Sequence[Decision], now: Instant) -> None:
    """Behind each message on its way with the last money one person waits for the next slot, the others until tomorrow.

    A message that is refused gives its money back a moment later; with everybody put off, it would stay unused.
    """
    unpaid = [decision for decision in decisions if decision.reason is Reason.BUDGET_SPENT]
    if unpaid:
        on_their_way = sum(decision.goes for decision in decisions) + count_calling(connection, gate.of, now)
        for decision in unpaid[:on_their_way]:
            decision.until = slot_up(now + 1)


class _Till:
    """Prices what was rendered, and pays while the purse and each person's own limit last."""

    def __init__(self, gate: Gate, pricer: Pricer, purse: Purse, spent: Mapping[int, int], now: Instant) -> None:
        self._gate, self._pricer, self._purse, self._spent, self._now = gate, pricer, purse, spent, now
        budget = gate.of.version.program.journey.budget
        self._per_user = budget.per_user if budget else None
        self._only_testers = gate.of.mode is Mode.TEST_RECIPIENTS

    def afford(self, row: Row, rendered: Rendered | RenderFailed) -> Decision:
        if isinstance(rendered, RenderFailed):
            return Decision(row, Reason.NO_TEMPLATE_VALUE)
        price = self._pricer.price(rendered.body)
        shadow = row.holdout != Holdout.TREATED
        tested = not self._only_testers or row.is_test or row.host_id in self._gate.testers
        reason = self._refuse(row.user_id, price.micros, shadow=shadow or not tested)
        if reason is not None:
            return Decision(row, reason, until=_tomorrow(self._gate.of, self._now), rendered=rendered, price=price)
        if not tested:
            return Decision(row, Reason.TEST_RECIPIENTS_ONLY)
        return Decision(row, Reason.HOLDOUT if shadow else None, rendered=rendered, price=price)

    def _refuse(self, user_id: int, price: int, *, shadow: bool) -> Reason | None:
        if self._per_user is not None and self._spent.get(user_id, 0) + price > self._per_user:
            return Reason.BUDGET_SPENT
        return self._purse.refuse(price, shadow=shadow) if self._purse.limits else None


def _spent_per_user(connection: Connection, of: Case, rows: Sequence[Row]) -> dict[int, int]:
    """What this journey already spent on each person; read only where the journey limits it."""
    budget = of.version.program.journey.budget
    if budget is None or budget.per_user is None:
        return {}
    sends = schema.sends
    totals = (
        select(sends.c.user_id, func.sum(sends.c.price))
        .where(
            among(connection, sends.c.user_id, "ids"),
            sends.c.journey_id == of.version.journey_id,
            sends.c.state.in_(("calling", "accepted", "in_doubt")),
        )
        .group_by(sends.c.user_id)
    )
    found = connection.execute(totals, {"ids": ids_parameter(connection, [row.user_id for row in rows])})
    return {user_id: int(total) for user_id, total in found}


def _values(connection: Connection, gate: Gate, rows: Sequence[Row], tokens: Sequence[str]) -> list[dict[str, str]]:
    """Template values of each row: its attributes, the step's link, the way to say stop."""
    values = {row.user_id: _addresses_in_text(gate, row, token) for row, token in zip(rows, tokens, strict=True)}
    names = sorted(gate.renderer.variables)
    if names:
        table = schema.user_attributes
        wanted = select(table.c.user_id, table.c.name, table.c.value).where(
            among(connection, table.c.user_id, "ids"), table.c.name.in_(names)
        )
        for user_id, name, value in connection.execute(wanted, {"ids": ids_parameter(connection, values)}):
            values[user_id][name] = value
    return [values[row.user_id] for row in rows]


def _addresses_in_text(gate: Gate, row: Row, token: str) -> dict[str, str]:
    link = gate.doors.link(token) if gate.doors and token else gate.of.node.link or ""
    if gate.doors is None or not gate.renderer.uses("opt_out_link"):
        return {"link": link}
    return {"link": link, "opt_out_link": gate.doors.preferences(row.user_id, row.address_id, gate.of.channel)}


def _hold_back(gate: Gate, row: Row, reason: Reason, now: Instant, zones: Mapping[int, Zones]) -> Decision:
    return Decision(row, reason, until=_until(gate, row, reason, now, zones))


def _until(gate: Gate, row: Row, reason: Reason, now: Instant, zones: Mapping[int, Zones]) -> Instant | None:
    """When a deferred row is due again: when what holds it back is known to end."""
    match reason:
        case Reason.CAPPED:
            return max(slot_up(row.frees_at), slot_up(now + 1))
        case Reason.OUTSIDE_WINDOW:
            opens = next_open(gate.rules, zones.get(row.zone_id, ()), now)
            return opens if opens is not None else now + DAY
        case Reason.OUTRANKED:
            return slot_up(now + 1)
        case Reason.RAMP_LIMIT:
            return _tomorrow(gate.of, now)
        case Reason.HELD:
            return slot_up(now + _HELD_RECHECK)
        case _:
            return None


def _tomorrow(of: Case, now: Instant) -> Instant:
    """The start of the next local day of the journey's zone, when daily allowances start anew."""
    day = date.fromordinal(local_day(now, of.zone) + 1)
    return local_to_instant(datetime.combine(day, time.min), of.zone)
