"""What would go out if we sent the missed ones now, and do it? Preview first; the gate decides again."""

from __future__ import annotations

from dataclasses import dataclass, field

from recall.clock import DAY, Instant
from recall.engine.setup import Setup
from recall.store.cases import gate_passes
from recall.store.gate import decide, prepare
from recall.store.gate_rows import Page
from recall.store.replays import Missed, missed, send_again


@dataclass(frozen=True)
class Wanted:
    """Which missed messages a person means."""

    journey: str
    step: str | None = None
    since: Instant | None = None  # None: the last seven days
    outcome: str | None = None  # refused | not_sent | skipped
    reason: str | None = None  # part of cause, code or gate reason
    user: str | None = None


@dataclass(frozen=True)
class Preview:
    """One missed message and what the gate would say to it now."""

    item: Missed
    verdict: str  # "go", a gate reason, or why it may not be replayed at all

    @property
    def may_be_replayed(self) -> bool:
        return not self.item.stands


@dataclass
class Replayed:
    previews: list[Preview] = field(default_factory=list)
    replayed: int = 0
    dry_run: bool = True

    def counts(self) -> dict[str, int]:
        """How many of each verdict."""
        counts: dict[str, int] = {}
        for preview in self.previews:
            counts[preview.verdict] = counts.get(preview.verdict, 0) + 1
        return counts


def replay(setup: Setup, wanted: Wanted, *, dry_run: bool, who: str, why: str) -> Replayed:
    """Show what may be sent again; unless it is a dry run, make it due. A second call finds nothing left to do."""
    now = setup.clock.now()
    since = now - 7 * DAY if wanted.since is None else wanted.since
    with setup.store.writing() as connection:
        found = missed(
            connection,
            wanted.journey,
            now=now,
            since=since,
            step=wanted.step,
            outcome=wanted.outcome,
            reason=wanted.reason,
            user=wanted.user,
        )
        done = Replayed([Preview(item, item.stands or _ask_gate(setup, item, now)) for item in found], dry_run=dry_run)
        for preview in done.previews:
            if preview.may_be_replayed and not dry_run:
                send_again(connection, preview.item, who=who, why=why, now=now)
                done.replayed += 1
    return done


def _ask_gate(setup: Setup, item: Missed, now: Instant) -> str:
    """The gate's word on one message now, without locks and without writing."""
    node = item.version.program.message(item.step_id)
    with setup.store.reading() as connection:
        for gate_pass in gate_passes(connection, item.version, node, mode=setup.mode):
            gate = prepare(gate_pass.of, lock=False, jurisdictions=gate_pass.jurisdictions, but=gate_pass.but)
            page = Page(now, enrolments=(item.enrolment_id,))
            chunk = decide(connection, gate, page, now=now, lock=False)
            if chunk.blocked:
                return chunk.blocked.value
            for decision in chunk.decisions:
                return decision.reason.value if decision.reason else "go"
    return "in doubt"
