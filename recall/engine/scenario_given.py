"""What is given in a scenario, and when is it told? People first, then each thing when the clock reaches it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from functools import partial
from itertools import count
from zoneinfo import ZoneInfo

from journeys.assignment import holdout_of, in_rollout
from journeys.durations import add
from journeys.journey import Journey
from journeys.policy import Policy
from journeys.scenarios import GivenAct, GivenChange, GivenPassage, GivenReaction, GivenUser, Scenario, instant_of
from journeys.words import ADDRESS_OF, AddressKind, End, EntryReason, Holdout, ReceiptKind
from recall.clock import DAY, Clock, Instant
from recall.errors import Misconfigured
from recall.store.connect import Connection, Store
from recall.store.consents import NewConsent, record_consents
from recall.store.controls import ControlKind, clear_control, set_control
from recall.store.entry import NewEnrolment, insert_enrolments
from recall.store.events import NewEvent, record_events
from recall.store.histories import read_passages
from recall.store.moves import end
from recall.store.people import NewAddress, NewUser, ids_of, upsert_users, upsert_users_in
from recall.store.receipts import Receipt, record_receipts
from recall.store.suppressions import opt_out_address, suppress_user, unsuppress
from recall.store.versions import current_version

_KNOWN_FOR = 400 * DAY  # how long ago people were created and said yes
_TRIES = 100_000  # ids tried until the hash says what the scenario wants
_WHO = "scenario"

_SWITCHES = {
    "pause": (set_control, ControlKind.PAUSED),
    "resume": (clear_control, ControlKind.PAUSED),
    "kill_switch_on": (set_control, ControlKind.KILL_SWITCH),
    "kill_switch_off": (clear_control, ControlKind.KILL_SWITCH),
    "approve": (set_control, ControlKind.APPROVED),
}

Told = Callable[[Connection, Instant], None]


class Given:
    """Everybody and everything a scenario gives, told as time goes by."""

    def __init__(
        self, store: Store, scenario: Scenario, journey: Journey, policies: Mapping[str, Policy], clock: Clock
    ) -> None:
        self.store = store
        self.scenario = scenario
        self.journey = journey
        self.users = {user.id: user for user in scenario.users}
        self.refused: dict[str, tuple[Instant, str]] = {}  # user -> when and why last not let in
        self._policies = policies
        self._clock = clock
        self._waiting: list[tuple[Instant, int, Told]] = []
        self._order = count()
        self._host = {user.id: self._host_id(user) for user in scenario.users}
        self._known_as = {host: user for user, host in self._host.items()}
        self._reactions = list(scenario.reactions)
        self._enter_people(clock.now())
        with store.reading() as connection:
            ids = ids_of(connection, self._host.values())
        self.ids = {user: ids[host] for user, host in self._host.items()}
        self._plan()

    # --- people ------------------------------------------------------------------------------------------

    def _policy(self, user: GivenUser) -> Policy | None:
        named = self.journey.policy
        name = named if isinstance(named, str) else named.cases.get(user.jurisdiction, named.otherwise)
        return self._policies.get(name)

    def _host_id(self, user: GivenUser) -> str:
        """An id whose hash puts the person where the scenario wants them: held out or not, rolled out or not."""
        wanted = Holdout.JOURNEY if user.holdout else Holdout.TREATED
        rolled_out = self.scenario.not_entered.get(user.id) != EntryReason.NOT_ROLLED_OUT
        for n in range(_TRIES):
            host = user.id if n == 0 else f"{user.id}~{n}"
            reached = in_rollout(self.journey.id, host, self.journey.entry.rollout)
            if self._holdout(user, host) is wanted and reached is rolled_out:
                return host
        raise Misconfigured(
            f"{self.scenario.name!r}: nobody like {user.id} exists; "
            "a person held out needs a `holdout` in the journey, one not rolled out a `rollout` below 100"
        )

    def _holdout(self, user: GivenUser, host: str) -> Holdout:
        policy = self._policy(user)
        return holdout_of(
            host,
            policy=policy.id if policy else "",
            programme_percent=policy.holdout if policy else 0,
            journey=self.journey.id,
            journey_percent=self.journey.holdout.percent if self.journey.holdout else 0,
        )

    def _enter_people(self, now: Instant) -> None:
        new = [self._new_user(n, user, now) for n, user in enumerate(self.scenario.users)]
        upsert_users(self.store, new, now, zone=ZoneInfo(self.journey.zone))
        with self.store.writing() as connection:
            record_consents(connection, [said for user in self.scenario.users for said in self._consents(user, now)])
            for row, user in zip(new, self.scenario.users, strict=True):
                self._opt_out(connection, row, user, now)
                if user.suppressed:
                    suppress_user(connection, self.store, user=row.user, source=_WHO, at=now)

    def _new_user(self, n: int, user: GivenUser, now: Instant) -> NewUser:
        nobody = NewAddress("")
        return NewUser(
            self._host[user.id],
            phone=NewAddress(f"+86138{n:08d}", region=user.jurisdiction) if user.phone else nobody,
            email=NewAddress(f"{n}@example.com") if user.email else nobody,
            push=NewAddress(f"token-{n}", subkind="fcm_token") if user.push else nobody,
            zones=(user.zone,),
            locale=user.locale,
            jurisdiction=user.jurisdiction,
            created_at=now - _KNOWN_FOR,
            proved_at=now - DAY,
            attributes=user.attributes,
        )

    def _consents(self, user: GivenUser, now: Instant) -> list[NewConsent]:
        policy = self._policy(user)
        if policy is None:
            return []
        said = partial(NewConsent, self._host[user.id], purpose=policy.consent.purpose, granted=True)
        return [said(channel=channel.value, at=now - _KNOWN_FOR, brand=self.journey.brand) for channel in user.consents]

    def _opt_out(self, connection: Connection, row: NewUser, user: GivenUser, now: Instant) -> None:
        addresses = {AddressKind.PHONE: row.phone, AddressKind.EMAIL: row.email, AddressKind.PUSH: row.push}
        for channel in user.opted_out:
            address = addresses.get(ADDRESS_OF[channel])
            if address is not None and address.value:
                opt_out_address(
                    connection,
                    self.store,
                    kind=ADDRESS_OF[channel].value,
                    value=address.value,
                    channels=[channel],
                    source=_WHO,
                    at=now,
                    brand=self.journey.brand,
                )

    # --- time --------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        zone = self.scenario.zone
        for n, event in enumerate(self.scenario.events):
            at = instant_of(event.at, self.users[event.user].zone)
            new = NewEvent(f"{_WHO}:{n}", self._host[event.user], event.event, at, event.properties or None)
            self._at(at, partial(_record_event, new))
        for change in self.scenario.changes:
            self._at(instant_of(change.at, self.users[change.user].zone), partial(self._change, change))
        for passage in self.scenario.passages:
            at = instant_of(passage.at, self.users[passage.user].zone)
            self._at(at, partial(self._walk, passage, at))
        for act in self.scenario.acts:
            self._at(instant_of(act.at, zone), partial(self._act, act))

    def _at(self, at: Instant, told: Told) -> None:
        heapq.heappush(self._waiting, (at, next(self._order), told))

    def next_at(self) -> Instant | None:
        """When the next thing happens that nobody was told yet."""
        return self._waiting[0][0] if self._waiting else None

    def tell(self, now: Instant) -> None:
        """Tell everything that has happened up to now, in its order."""
        if not self._waiting or self._waiting[0][0] > now:
            return
        with self.store.writing() as connection:
            while self._waiting and self._waiting[0][0] <= now:
                heapq.heappop(self._waiting)[2](connection, now)

    def _change(self, change: GivenChange, connection: Connection, now: Instant) -> None:
        row = NewUser(self._host[change.user], attributes=change.attributes)
        upsert_users_in(connection, self.store, [row], now, zone=ZoneInfo(self.journey.zone))

    def _walk(self, passage: GivenPassage, at: Instant, connection: Connection, now: Instant) -> None:
        """A passage through another journey, over when it is told."""
        version = current_version(connection, passage.journey)
        goal_until = at + version.program.journey.goal.window.micros
        new = NewEnrolment(self.ids[passage.user], f"{_WHO}:{at}", at - DAY, Holdout.TREATED.value, at)
        insert_enrolments(connection, version, [new], now=at, goal_until=goal_until)
        ids = [each.id for each in read_passages(connection, new.user_id) if each.entry_key == new.entry_key]
        end(connection, ids, passage.ended, now=at)

    def _act(self, act: GivenAct, connection: Connection, now: Instant) -> None:
        if act.act not in _SWITCHES:
            self._act_on(act, connection, now)
            return
        switch, kind = _SWITCHES[act.act]
        subjects = {ControlKind.PAUSED: self.journey.id, ControlKind.KILL_SWITCH: ""}
        subject = subjects[kind] if kind in subjects else current_version(connection, self.journey.id).hash
        switch(connection, kind, subject, who=_WHO, why=_WHO, at=now)

    def _act_on(self, act: GivenAct, connection: Connection, now: Instant) -> None:
        if act.user is None:
            raise Misconfigured(f"{self.scenario.name!r}: {act.act} needs a `user`")
        host = self._host[act.user]
        match act.act:
            case "suppress":
                suppress_user(connection, self.store, user=host, reason="operator", source=_WHO, at=now)
            case "unsuppress":
                unsuppress(connection, self.store, user=host, at=now)
            case "exit":
                passages = read_passages(connection, self.ids[act.user])
                end(connection, [passage.id for passage in passages if passage.active], End.OPERATOR, now=now)
            case _:
                raise Misconfigured(f"{self.scenario.name!r}: `{act.act}` cannot be played yet; leave it out")

    # --- what providers answer, and people do with messages ----------------------------------------------

    def answer_to(self, host: str, step: str) -> GivenReaction | None:
        """What the scenario lets the provider answer to one call; each answer is given once."""
        mine = [each for each in self._reactions_of(host, step) if each.answer is not None]
        if mine:
            self._reactions.remove(mine[0])
        return mine[0] if mine else None

    def react(self, provider: str, ref: str, host: str, step: str) -> None:
        """Plan what follows a message that was taken: one outcome per call, every reaction to the first."""
        mine = [each for each in self._reactions_of(host, step) if each.answer is None]
        outcomes = [each for each in mine if each.outcome is not None]
        for each in [*(other for other in mine if other.outcome is None), *outcomes[:1]]:
            self._reactions.remove(each)
            at = add(self._clock.now(), each.after, ZoneInfo(self.users[each.user].zone))
            kind = each.reaction or ReceiptKind.ANSWERED
            detail = each.outcome or (each.cause.value if each.cause else "")
            receipt = Receipt(provider, f"{ref}:{kind.value}", ref, kind, at, detail)
            self._at(at, partial(_record_receipt, receipt))

    def _reactions_of(self, host: str, step: str) -> list[GivenReaction]:
        user = self._known_as.get(host)
        return [each for each in self._reactions if each.user == user and each.step == step]

    # --- who did not enter -------------------------------------------------------------------------------

    def has_no_policy(self, host: str) -> bool:
        return self._policy(self.users[self._known_as[host]]) is None

    def note_refused(self, host: str, reason: str) -> None:
        """Remember why somebody was not let in; what is said last counts."""
        self.refused[self._known_as[host]] = (self._clock.now(), reason)


def _record_event(new: NewEvent, connection: Connection, now: Instant) -> None:
    record_events(connection, [new], now)


def _record_receipt(receipt: Receipt, connection: Connection, now: Instant) -> None:
    record_receipts(connection, [receipt], now=now)
