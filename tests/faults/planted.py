# ruff: noqa: E501  # a table: the code that is replaced stands as it is
"""Which small bugs are planted, and which test must fail with each? Every one of them happened to somebody."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One planted bug: what stands in a file, what is put there instead, and the tests that must notice.

    `off` plants a second change with it: another defence that would hide the first.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    store: str = "sqlite"  # on which store the tests are asked
    off: tuple[tuple[str, str, str], ...] = ()

    @property
    def changes(self) -> tuple[tuple[str, str, str], ...]:
        return ((self.file, self.old, self.new), *self.off)


def _in(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{file}::test_{name}" for name in names)


def _windows(*names: str) -> tuple[str, ...]:
    return _in("tests/journeys/test_windows.py", *names)


def _reasons(*names: str) -> tuple[str, ...]:
    return _in("tests/engine/test_gate_reasons.py", *names)


def _protocol(*names: str) -> tuple[str, ...]:
    return _in("tests/engine/test_protocol.py", *names)


_CALLING, _DISPATCH, _SEND = "recall/engine/calling.py", "recall/engine/dispatch.py", "recall/engine/send.py"
_RECONCILE = "recall/engine/reconcile.py"
_GATE, _BLOCKS, _PASS = "recall/store/gate.py", "recall/store/gate_blocks.py", "recall/store/gate_pass.py"
_LEDGER, _REASONS, _ROWS = "recall/store/ledger.py", "recall/store/gate_reasons.py", "recall/store/gate_rows.py"
_SLOTS, _WINDOWS, _TRIPWIRE = "recall/store/slots.py", "journeys/windows.py", "recall/engine/tripwire.py"

MUTANTS = (
    # --- hours ---
    Mutant("window_in_utc", _WINDOWS,
           "    offset = to_datetime(instant).astimezone(zone).utcoffset()",
           "    offset = timedelta(0)",
           _windows("the_hours_are_those_of_the_persons_wall_not_of_utc")),
    Mutant("fixed_offset", _WINDOWS,
           "    offset = to_datetime(instant).astimezone(zone).utcoffset()",
           "    offset = to_datetime(1_767_225_600_000_000).astimezone(zone).utcoffset()",
           _windows("a_night_of_changing_clocks_is_as_long_as_it_is")),
    Mutant("one_minute_past_the_window", _WINDOWS,
           "    return any(start <= instant < end for",
           "    return any(start <= instant < end + MINUTE for",
           _windows("a_window_opens_at_its_start_and_is_closed_at_its_end")),
    Mutant("zone_fallback", _GATE,
           "if is_open(gate.rules, names, now)]",
           "if is_open(gate.rules, names or (gate.of.zone,), now)]",
           _reasons("nobody_is_messaged_whose_zone_nobody_knows")),
    # --- never twice ---
    Mutant("rescue_resends", _LEDGER,
           "        .values(state=SendState.IN_DOUBT.value, code=why)\n    )\n    if not changed.rowcount:\n        return False",
           "        .values(state=SendState.NOT_SENT.value, code=why)\n    )\n    put_back(connection, send, due_at=now)\n"
           "    if changed.rowcount:\n        return True",
           _protocol("a_call_whose_process_died_becomes_a_doubt_and_is_never_sent_again")),
    Mutant("retry_on_read_timeout", _DISPATCH,
           "[SendResult(ref, Outcome.IN_DOUBT, code=code) for",
           "[SendResult(ref, Outcome.NOT_SENT, Cause.THROTTLED, code=code) for",
           _protocol("an_exception_in_an_adapter_is_a_doubt_and_no_crash")),
    Mutant("call_before_commit", _SEND,
           "                give_back(connection, granted, used=len(passed.calls))\n",
           "                give_back(connection, granted, used=len(passed.calls))\n"
           "                from recall.engine.calling import call_chunk\n"
           "                if passed.calls:\n"
           "                    call_chunk(setup, gate, passed, started=elapsed_seconds())\n",
           _in("tests/engine/test_calling.py", "a_message_is_in_the_ledger_for_everybody_before_it_is_called"),
           store="postgresql"),  # on SQLite the record would wait for its own gate
    Mutant("no_deadline", _CALLING,
           "GATE_TO_CALL_SECONDS = 5.0",
           "GATE_TO_CALL_SECONDS = 5e9",
           _in("tests/engine/test_calling.py", "nobody_is_called_on_a_decision_that_has_grown_old")),
    Mutant("doubt_put_back", _CALLING,
           "    put_back(setup, stayed)",
           "    put_back(setup, [r.ref for r in called.results])",
           _in("tests/faults/test_found.py", "an_answer_in_the_spool_is_not_put_back")),
    Mutant("failover_of_doubts", _CALLING,
           "    return {r.ref for r in called.results if r.outcome is Outcome.NOT_SENT and r.cause in causes}",
           "    return {r.ref for r in called.results if r.outcome is not Outcome.ACCEPTED and causes}",
           _in("tests/engine/test_routes.py", "a_doubt_never_takes_another_way")),
    Mutant("attempts_without_end", _LEDGER,
           "send.attempt < policy.routes[Channel(send.channel)].attempts:",
           "send.attempt < 60:",
           _protocol("after_its_attempts_a_message_rests_and_the_user_goes_on")),
    Mutant("replay_after_a_later_step", "recall/store/replays.py",
           "    if row.base_at != row.at:",
           "    if False:",
           _in("tests/engine/test_replay.py", "what_a_later_step_has_overtaken_is_not_replayed")),
    Mutant("replay_before_a_message_put_back", "recall/store/replays.py",
           "    if row.retry_send_id is not None:",
           "    if False:",
           _in("tests/engine/test_replay.py", "what_a_later_message_that_stayed_here_has_overtaken_is_not_replayed")),
    # --- no silent doubt ---
    Mutant("doubt_not_raised", _RECONCILE,
           "    done.raised = raise_doubts(setup)",
           "    done.raised = 0",
           _protocol("a_call_whose_process_died_becomes_a_doubt_and_is_never_sent_again")),
    Mutant("goes_on_in_doubt", _ROWS,
           "> NOW - of.policy.doubt_hold.micros",
           "> NOW + of.policy.doubt_hold.micros",
           _in("tests/store/test_ledger.py", "a_call_nobody_looked_after_yet_holds_back_the_next_step")),
    Mutant("doubt_does_not_park", _LEDGER,
           "    _park(connection, send, until=send.gate_at + policy.doubt_hold.micros)\n",
           "",
           _protocol("a_lost_answer_is_a_doubt_that_parks_the_user")),
    Mutant("absence_counts_at_once", _RECONCILE,
           "now - send.gate_at >= after * SECOND",
           "after >= 0",
           _protocol("absence_proves_nothing_before_the_provider_vouches_for_it")),
    Mutant("spool_not_replayed", _RECONCILE,
           "done.spooled = replay_spool(setup.store, setup.spool_dir, now=setup.clock.now())",
           "done.spooled = 0",
           _protocol("answers_that_cannot_be_recorded_are_spooled_and_replayed")),
    Mutant("late_answer_overwrites", _LEDGER,
           "only=_STILL_CALLING,",
           'only="1 = 1",',
           _in("tests/store/test_ledger.py", "a_late_yes_cannot_undo_what_evidence_said")),
    Mutant("receipt_overwrites", "recall/store/receipts.py",
           "or_(column.is_(None), column > at)",
           "or_(column.is_(None), column < at)",
           _in("tests/store/test_receipts.py", "of_each_kind_the_earliest_time_stays")),
    Mutant("outcome_overwrites", "recall/store/receipts.py",
           "column > receipt.at, and_(",
           "column < receipt.at, and_(",
           _in("tests/store/test_receipts.py", "every_order_gives_the_same_state")),
    # --- never after "stop" ---
    Mutant("opt_out_at_planning_only", _REASONS,
           'A.c.opted_out.op("&")(CHANNEL_BIT[of.channel]) != 0',
           "false()",
           _reasons("an_opt_out_by_anyone_sharing_the_phone_stops_everyone_on_it")),
    Mutant("opt_out_not_bound_to_the_address", "recall/store/suppression_flags.py",
           " on conflict (kind, hash) do update set opted_out = excluded.opted_out, suppressed = excluded.suppressed",
           " on conflict (kind, hash) do nothing",
           _in("tests/store/test_suppressions.py", "a_stop_binds_everybody_who_shares_the_phone")),
    Mutant("goal_not_asked_at_the_gate", _REASONS,
           "compile_goal(journey.goal, scope, after=E.c.anchor_at)",
           "false()",
           _reasons("a_conversion_that_converge_has_not_seen_is_still_caught_by_the_gate")),
    Mutant("suppression_ignored", _REASONS,
           "Reason.SUPPRESSED: _suppressed(of)",
           "Reason.SUPPRESSED: false()",
           _in("tests/store/test_gate_reasons.py", "a_suppression_nobody_has_acted_on_is_seen_by_the_gate")),
    Mutant("consent_ignored", _REASONS,
           "not_(func.coalesce(valid, false()))",
           "false()",
           _reasons("no_consent_no_message")),
    Mutant("eligibility_ignored", _REASONS,
           "    if of.policy.eligible:",
           "    if False:",
           _reasons("a_user_who_falls_overdue_leaves")),
    Mutant("expiry_ignored", _REASONS,
           "E.c.first_due_at + of.node.expires.micros < NOW",
           "false()",
           _reasons("a_message_due_too_long_ago_is_skipped")),
    Mutant("kill_switch_not_read", _BLOCKS,
           "    if controls.kill_switch is not None:",
           "    if False:",
           _reasons("a_switch_stops_the_step_and_everybody_stays_due")),
    Mutant("pause_not_read", _BLOCKS,
           "        of.version.name in controls.paused\n        or ",
           "        ",
           _reasons("a_switch_stops_the_step_and_everybody_stays_due")),
    # --- caps and money ---
    Mutant("no_cap", _REASONS, "    if caps:\n", "    if False:\n", _reasons("a_cap_defers_to_the_moment_it_frees")),
    Mutant("cap_per_person_only", _REASONS,
           "    return [*slots, A.c[address]] if has_address(of) else slots",
           "    return slots",
           _reasons("a_cap_binds_the_phone_too")),
    Mutant("cap_off_by_one", _REASONS,
           "_slots(of, cap, cap.sends)]\n        )",
           "_slots(of, cap, min(cap.sends + 1, 4))]\n        )",
           _reasons("a_cap_defers_to_the_moment_it_frees")),
    Mutant("cap_without_lock", _ROWS,
           "    return statement.with_for_update(of=locked, skip_locked=True) if lock else statement",
           "    return statement if locked else statement",
           _in("tests/faults/test_pairs.py", "two_gates_at_once_share_one_cap_slot"),
           store="postgresql"),
    Mutant("two_of_one_address_in_a_chunk", _GATE,
           "kept = first_per_address(rows)",
           "kept = rows",
           _reasons("a_cap_binds_the_phone_too")),
    Mutant("doubt_outside_the_cap", _LEDGER,
           "    _park(connection, send, until=send.gate_at",
           "    release(connection, send, read_version(connection, send.version_id), policy)\n"
           "    _park(connection, send, until=send.gate_at",
           _protocol("a_lost_answer_is_a_doubt_that_parks_the_user")),
    Mutant("slot_not_released", _SLOTS,
           "    if send.counted:",
           "    if False:",
           _protocol("what_was_not_sent_gives_its_slot_and_money_back")),
    Mutant("no_budget_reservation", _PASS,
           "    pay(connection, chunk.purse.taken)",
           "    pass",
           _in("tests/store/test_purse.py", "what_is_spent_stays_spent_for_the_day")),
    Mutant("budget_released_twice", _SLOTS,
           "    return _costs(send, version, policy)",
           "    return {key: 2 * amount for key, amount in _costs(send, version, policy).items()}",
           _in("tests/store/test_ledger.py", "one_message_that_was_not_sent_gives_back_its_own_money_and_no_more")),
    Mutant("money_back_while_people_are_awaited", _LEDGER,
           "        returned.update(_settle_other(connection, send, others[send.ref], policies, now))",
           "        give_back(connection, _settle_other(connection, send, others[send.ref], policies, now))",
           _in("tests/faults/test_pairs.py", "whoever_settles_refusals_takes_money_last_as_the_gate_does"),
           store="postgresql",
           off=((_LEDGER,
                 "    lock_people(connection, [send for send in sends if others[send.ref].outcome in _RELEASING])\n",
                 ""),)),
    Mutant("money_that_comes_back_stays_unused", _GATE,
           "        for decision in unpaid[:on_their_way]:",
           "        for decision in unpaid[:0]:",
           _in("tests/engine/test_protocol.py", "who_waits_behind_the_last_money_gets_it_when_it_comes_back")),
    # --- the tripwire, and what waits behind a call ---
    Mutant("calls_are_not_added_up", _TRIPWIRE,
           "(select count(*) from calls where ref = b.key) as called",
           "(select max(1) from calls where ref = b.key) as called",
           _in("tests/engine/test_tripwire.py", "a_seventh_call_of_one_message_trips")),
    Mutant("a_crowd_counts_as_one", "recall/engine/sketch.py",
           "            if low >= limit:",
           "            if low >= 255:",
           _in("tests/engine/test_tripwire.py", "a_crowd_of_messages_to_one_address_trips_within_one_chunk_too")),
    Mutant("calls_go_on_when_throttled", "recall/engine/caller.py",
           "        return not is_throttled",
           "        return True",
           _in("tests/engine/test_caller.py", "what_waits_behind_a_throttled_call_is_asked_again_later")),
    # --- who, what, when ---
    Mutant("holdout_leak", _GATE,
           "    shadow = row.holdout != Holdout.TREATED",
           "    shadow = False",
           _reasons("the_holdout_walks_the_same_way_and_gets_nothing")),
    Mutant("arm_by_row", "recall/store/control_steps.py",
           "user=row.host_id, arms=shares",
           "user=str(row.id), arms=shares",
           _in("tests/engine/test_control_steps.py", "a_split_puts_everybody_in_one_arm_and_keeps_it")),
    Mutant("gap_too_short", "recall/store/moves.py",
           ".base_at, zones or (ZoneInfo(",
           ".base_at - DAY, zones or (ZoneInfo(",
           _in("tests/engine/test_send.py", "the_gap_counts_from_the_message_not_from_when_it_fell_due")),
    Mutant("wrong_text_kept", _PASS,
           "    return written(title=rendered.title, body=rendered.body), hashed",
           '    return written(title=rendered.title, body=rendered.body + " "), hashed',
           _in("tests/engine/test_calling.py", "the_text_kept_is_the_text_the_provider_got")),
)  # fmt: skip
