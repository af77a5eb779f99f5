"""Why not? Every rule that can hold a message back for one person, as SQL, in the order of `Reason`.

This is the only place where these rules are written. `gate.decide` selects with them; the tests hold an
independent slow oracle against them. Rules that need the order of rows (price, budget, stock, ramp within
a chunk) or a rendered text follow in `gate.decide`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    String,
    and_,
    bindparam,
    case,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    true,
)

from journeys.policy import Cap, Policy
from journeys.program import MessageNode
from journeys.rules import Rule
from journeys.words import ADDRESS_OF, CHANNEL_BIT, AddressKind, Channel, Reason
from recall.settings import Mode
from recall.store import schema
from recall.store.audience import Cutoffs, Scope, compile_goal, compile_rule
from recall.store.greatest import greatest
from recall.store.policies import LivePolicy
from recall.store.versions import Version

E = schema.enrolments.alias("e")
U = schema.users.alias("u")
S = schema.contact_state.alias("s")
A = schema.addresses.alias("a")
C = schema.consent_state.alias("c")
R = schema.enrolments.alias("r")  # rivals: other enrolments of the same person

NOW = bindparam("now", type_=BigInteger)


@dataclass(frozen=True)
class Rivals:
    """Message steps of journeys with a higher priority, which contend for the same cap slots."""

    version_id: int
    priority: int
    steps: tuple[tuple[int, Channel, int], ...]  # step_id, channel, expires in micros; counted channels only


@dataclass(frozen=True)
class Case:
    """What one gate pass is about: one step of one version under one policy."""

    version: Version
    node: MessageNode = field(hash=False)  # conditions in it may hold mappings
    live: LivePolicy
    mode: Mode
    rivals: tuple[Rivals, ...] = ()
    no_send: bool = False  # the journey sends nothing to the jurisdictions of this pass

    @property
    def policy(self) -> Policy:
        return self.live.policy

    @property
    def channel(self) -> Channel:
        return self.node.channel

    @property
    def counts(self) -> bool:
        return self.channel in self.policy.counts

    @property
    def address_kind(self) -> AddressKind:
        return ADDRESS_OF[self.channel]

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.version.program.journey.zone)


def reason_column(of: Case, cutoffs: Cutoffs) -> ColumnElement[str | None]:
    """The first reason that holds, as a column; NULL when none does."""
    rules = _rules(of, cutoffs)
    ordered = [(rules[reason], literal(reason.value, String)) for reason in Reason if reason in rules]
    return case(*ordered, else_=null()).label("reason")


def _rules(of: Case, cutoffs: Cutoffs) -> dict[Reason, ColumnElement[bool]]:
    """Each reason's condition; a reason that cannot occur for this step is left out."""
    scope = _scope(of, cutoffs)
    journey = of.version.program.journey
    rules = {
        Reason.ERASED: U.c.erased_at.is_not(None),
        Reason.GOAL_REACHED: compile_goal(journey.goal, scope, after=E.c.anchor_at),
        Reason.MESSAGE_EXPIRED: E.c.first_due_at + of.node.expires.micros < NOW,
        Reason.SUPPRESSED: _suppressed(of),
        Reason.OUTSIDE_WINDOW: _zone_closed(),
    }
    rules |= _optional(Reason.EXIT_RULE, journey.exit_when, scope)
    rules |= _optional(Reason.HELD, journey.hold_when, scope)
    if of.node.when is not None:
        rules[Reason.CONDITION] = not_(compile_rule(of.node.when, scope))
    if of.policy.eligible:
        rules[Reason.NOT_ELIGIBLE] = not_(and_(*[compile_rule(rule, scope) for rule in of.policy.eligible]))
    rules |= _contact_rules(of) | _address_rules(of) | _cap_rules(of)
    if of.no_send:
        rules[Reason.REGION_BLOCKED] = true()
    return rules


def _optional(reason: Reason, rule: Rule | None, scope: Scope) -> dict[Reason, ColumnElement[bool]]:
    return {} if rule is None else {reason: compile_rule(rule, scope)}


def _scope(of: Case, cutoffs: Cutoffs) -> Scope:
    return Scope(
        user_id=U.c.id,
        entered_at=E.c.entered_at,
        enrolment_id=E.c.id,
        step_ids={node.name: node.id for node in of.version.program.nodes},
        cutoffs=cutoffs,
    )


def _zone_closed() -> ColumnElement[bool]:
    """No window of the channel is open in the person's zone (in all zones they may be in)."""
    return U.c.zone_id.not_in(bindparam("open_zones", expanding=True))


def _suppressed(of: Case) -> ColumnElement[bool]:
    return or_(U.c.suppressed, A.c.suppressed) if has_address(of) else U.c.suppressed.is_(True)


def has_address(of: Case) -> bool:
    return of.address_kind is not AddressKind.NONE


def _contact_rules(of: Case) -> dict[Reason, ColumnElement[bool]]:
    rules = {}
    rule = of.policy.unresponsive
    if rule is not None and of.counts:
        resting = func.coalesce(S.c.rest_until, 0) > NOW
        rules[Reason.UNRESPONSIVE] = or_(resting, S.c.streak >= rule.after.sends)
    if of.channel in of.policy.consent.channels:
        valid = and_(C.c.granted.is_(True), or_(C.c.expires_at.is_(None), C.c.expires_at > NOW))
        rules[Reason.NO_CONSENT] = not_(func.coalesce(valid, false()))
    return rules


def _address_rules(of: Case) -> dict[Reason, ColumnElement[bool]]:
    if not has_address(of):
        return {}
    nothing_there = A.c.id == schema.NO_ADDRESS
    missing = Reason.NOT_INSTALLED if of.channel is Channel.PUSH else Reason.UNREACHABLE
    rules = {
        Reason.OPTED_OUT: A.c.opted_out.op("&")(CHANNEL_BIT[of.channel]) != 0,
        Reason.UNREACHABLE: A.c.unreachable.is_not(None),
    }
    rules[missing] = or_(nothing_there, rules[missing]) if missing in rules else nothing_there
    if of.policy.address_max_age is not None:
        oldest = NOW - of.policy.address_max_age.micros
        rules[Reason.UNVERIFIED] = func.coalesce(A.c.proved_at, 0) <= oldest
    allow, deny = of.policy.regions.allow, of.policy.regions.deny
    if of.address_kind is AddressKind.PHONE and (allow or deny):
        rules[Reason.REGION_BLOCKED] = or_(
            A.c.region.not_in(allow) if allow else false(), A.c.region.in_(deny) if deny else false()
        )
    return rules


def _cap_rules(of: Case) -> dict[Reason, ColumnElement[bool]]:
    rules: dict[Reason, ColumnElement[bool]] = {}
    if of.version.program.journey.ramp:
        rules[Reason.RAMP_LIMIT] = bindparam("ramp_left", type_=BigInteger) <= 0
    if not of.counts:
        return rules
    caps = applicable_caps(of)
    if caps:
        rules[Reason.CAPPED] = or_(
            *[taken > NOW - cap.within.micros for cap in caps for taken in _slots(of, cap, cap.sends)]
        )
    if caps and of.rivals:
        rules[Reason.OUTRANKED] = or_(*[_outranked(of, cap) for cap in caps])
    return rules


def applicable_caps(of: Case) -> list[Cap]:
    """Caps of the policy that bind this channel."""
    return [cap for cap in of.policy.caps if cap.channel in (None, of.channel)]


def _slots(of: Case, cap: Cap, number: int) -> list[ColumnElement[int]]:
    """When the `number`-th last counted send happened: to the person, and to the address."""
    if cap.channel is None:
        slots: list[ColumnElement[int]] = [S.c[f"s{number}"]]
        address = f"s{number}"
    else:
        slots = [S.c[f"{of.channel}{number}"]]
        address = f"{'c' if of.channel is Channel.CALL else 'm'}{number}"
    return [*slots, A.c[address]] if has_address(of) else slots


def frees_at(of: Case) -> ColumnElement[int]:
    """When the last full cap frees; 0 when none is full. Asked only for capped rows."""
    full = [
        case((taken > NOW - cap.within.micros, taken + cap.within.micros), else_=0)
        for cap in (applicable_caps(of) if of.counts else ())
        for taken in _slots(of, cap, cap.sends)
    ]
    latest = greatest(literal(0, BigInteger), *full) if full else literal(0, BigInteger)
    return latest.label("frees_at")


def _outranked(of: Case, cap: Cap) -> ColumnElement[bool]:
    """So many rivals are due that, with the slots already taken, this cap leaves none for us."""
    rivals = _count_rivals(of, cap.channel)
    ways = [rivals >= cap.sends]
    for waiting in range(1, cap.sends):
        ways += [
            and_(rivals == waiting, taken > NOW - cap.within.micros) for taken in _slots(of, cap, cap.sends - waiting)
        ]
    return or_(*ways)


def _count_rivals(of: Case, channel: Channel | None) -> ColumnElement[int]:
    """Due enrolments of the same person that go first; held-out ones and stale messages do not contend."""
    steps = [
        and_(R.c.version_id == rival.version_id, R.c.step_id == step_id, R.c.first_due_at + expires >= NOW)
        for rival in of.rivals
        for step_id, step_channel, expires in rival.steps
        if channel in (None, step_channel)
    ]
    if not steps:
        return literal(0, BigInteger)
    return (
        select(func.count())
        .select_from(R)
        .where(
            R.c.user_id == E.c.user_id, schema.is_active(R), R.c.due_at <= NOW, R.c.holdout == "treated", or_(*steps)
        )
        .scalar_subquery()
    )


__all__ = [
    "NOW",
    "A",
    "C",
    "Case",
    "E",
    "Rivals",
    "S",
    "U",
    "applicable_caps",
    "frees_at",
    "has_address",
    "reason_column",
]
