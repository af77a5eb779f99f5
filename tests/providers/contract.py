"""What must every provider do? One suite; a provider passes it by giving it a rig.

    class TestMyVendor(ProviderContract):
        @pytest.fixture
        def rig(self, tmp_path): ...

The rig holds the far end (files, simulated people, a loopback server), so that the suite can break it and read
its own log. What a vendor cannot do is left out of `rig.can`, never skipped silently: the set is asserted below.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from journeys.words import Cause, Outcome
from providers.base import InDoubt, Lookup, Outbound, Provider, RawRequest, SendResult
from providers.faults import Fail
from recall.clock import SECOND, FixedClock
from recall.errors import ChannelDown, WebhookRejected

ALL_FAILS = frozenset(set(Fail) - {Fail.NONE})


@dataclass
class Rig:
    """A provider, its far end and a clock."""

    provider: Provider
    clock: FixedClock
    message: Callable[[int], Outbound]  # the n-th of many messages to people who can be reached
    refused: Callable[[], Outbound]  # to an address that can never work
    opted_out: Callable[[], Outbound]  # to somebody the provider knows to have said stop
    break_it: Callable[[Fail | None], None]  # what the far end does from now on
    accepted: Callable[[], list[str]]  # refs in the far end's own log, one per accepted request
    retry_after_seconds: float | None = 7.0  # told with a throttle
    can: frozenset[Fail] = ALL_FAILS
    runner: asyncio.Runner = field(default_factory=asyncio.Runner)

    def send(self, *messages: Outbound) -> list[SendResult]:
        async def all_of() -> list[SendResult]:
            return [result async for result in self.provider.send(messages)]

        return self.runner.run(all_of())

    def outcomes(self, messages: Sequence[Outbound], results: Iterable[SendResult]) -> dict[str, Outcome]:
        """What the engine records: missing means in doubt."""
        known = {result.ref: result.outcome for result in results}
        assert known.keys() <= {message.ref for message in messages}
        return {message.ref: known.get(message.ref, Outcome.IN_DOUBT) for message in messages}

    def reconcile(self, *messages: Outbound) -> dict[str, Outcome]:
        items = [
            InDoubt(
                ref=message.ref,
                channel=message.channel,
                address=message.address,
                body_hash=message.content.digest(),
                gate_at=self.clock.now(),
            )
            for message in messages
        ]
        return self.look_up(items)

    def look_up(self, items: Sequence[InDoubt]) -> dict[str, Outcome]:
        return {result.ref: result.outcome for result in self.runner.run(self.provider.reconcile(items))}

    def close(self) -> None:
        self.runner.run(self.provider.close())
        self.runner.close()


def needs(rig: Rig, fail: Fail) -> None:
    if fail not in rig.can:
        pytest.skip(f"{rig.provider.name} cannot {fail}")


class ProviderContract:
    """Subclass it, give `rig`."""

    @pytest.fixture
    def rig(self) -> Rig:
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _closed_in_the_end(self, rig: Rig):
        yield
        rig.close()

    def test_every_message_has_one_result_and_one_line_in_the_far_log(self, rig: Rig):
        batch = [rig.message(n) for n in range(5)]
        results = rig.send(*batch)
        assert Counter(result.ref for result in results) == Counter(message.ref for message in batch)
        assert {result.outcome for result in results} == {Outcome.ACCEPTED}
        assert all(result.provider_id and result.cause is None for result in results)
        assert sorted(rig.accepted()) == sorted(message.ref for message in batch)

    def test_an_empty_batch_has_no_results(self, rig: Rig):
        assert rig.send() == []

    def test_a_second_request_with_one_ref_is_a_second_line_or_declared_otherwise(self, rig: Rig):
        rig.send(rig.message(0))
        rig.send(rig.message(0))
        expected = 1 if rig.provider.caps.idempotency == "key" else 2
        assert rig.accepted() == [rig.message(0).ref] * expected

    def test_a_refused_address_does_not_spoil_its_neighbours(self, rig: Rig):
        batch = [rig.message(0), rig.refused(), rig.message(1)]
        results = {result.ref: result for result in rig.send(*batch)}
        assert results[batch[1].ref].outcome is Outcome.REFUSED
        assert results[batch[1].ref].cause is Cause.ADDRESS
        assert {results[batch[n].ref].outcome for n in (0, 2)} == {Outcome.ACCEPTED}
        assert batch[1].ref not in rig.accepted()

    def test_an_opt_out_known_to_the_provider_is_told_as_such(self, rig: Rig):
        message = rig.opted_out()
        (result,) = rig.send(message)
        assert (result.outcome, result.cause) == (Outcome.REFUSED, Cause.OPTED_OUT)
        assert rig.accepted() == []

    def test_a_throttle_is_known_not_sent_and_says_when_to_come_back(self, rig: Rig):
        needs(rig, Fail.THROTTLED)
        rig.break_it(Fail.THROTTLED)
        (result,) = rig.send(rig.message(0))
        assert (result.outcome, result.cause) == (Outcome.NOT_SENT, Cause.THROTTLED)
        assert result.retry_after_seconds == rig.retry_after_seconds
        assert rig.accepted() == []

    def test_a_connection_that_was_never_made_is_known_not_sent(self, rig: Rig):
        needs(rig, Fail.CONNECT)
        rig.break_it(Fail.CONNECT)
        (result,) = rig.send(rig.message(0))
        assert (result.outcome, result.cause) == (Outcome.NOT_SENT, Cause.CONNECT)
        rig.break_it(None)
        assert rig.send(rig.message(0))[0].outcome is Outcome.ACCEPTED
        assert rig.accepted() == [rig.message(0).ref]

    def test_an_error_of_the_server_is_in_doubt(self, rig: Rig):
        needs(rig, Fail.SERVER_ERROR)
        rig.break_it(Fail.SERVER_ERROR)
        assert rig.outcomes([rig.message(0)], rig.send(rig.message(0))) == {rig.message(0).ref: Outcome.IN_DOUBT}

    @pytest.mark.parametrize("fail", [Fail.ACCEPT_THEN_LOSE, Fail.ACCEPT_THEN_DROP])
    def test_a_lost_answer_is_in_doubt_and_nothing_behind_our_back_sends_again(self, rig: Rig, fail: Fail):
        needs(rig, fail)
        rig.break_it(fail)
        batch = [rig.message(n) for n in range(3)]
        assert set(rig.outcomes(batch, rig.send(*batch)).values()) == {Outcome.IN_DOUBT}
        assert sorted(rig.accepted()) == sorted(message.ref for message in batch)

    def test_a_wrong_configuration_stops_everybody_before_anything_is_sent(self, rig: Rig):
        needs(rig, Fail.CONFIG)
        rig.break_it(Fail.CONFIG)
        with pytest.raises(ChannelDown) as stop:
            rig.send(rig.message(0), rig.message(1))
        assert rig.accepted() == []
        assert_silent(str(stop.value), rig.message(0), rig.message(1))

    @pytest.mark.parametrize("fail", [Fail.HANG, Fail.ACCEPT_THEN_HANG])
    def test_a_hang_can_be_cut_off_by_the_caller_and_leaves_the_provider_usable(self, rig: Rig, fail: Fail):
        needs(rig, fail)
        rig.break_it(fail)

        async def bounded() -> None:
            async with asyncio.timeout(0.2):
                async for _ in rig.provider.send([rig.message(0)]):
                    pass

        with pytest.raises(TimeoutError):
            rig.runner.run(bounded())
        rig.break_it(None)
        assert rig.send(rig.message(1))[0].outcome is Outcome.ACCEPTED
        assert rig.accepted().count(rig.message(0).ref) == (fail is Fail.ACCEPT_THEN_HANG)

    def test_evidence_is_found_by_looking_never_by_sending(self, rig: Rig):
        needs(rig, Fail.ACCEPT_THEN_LOSE)
        rig.break_it(Fail.ACCEPT_THEN_LOSE)
        rig.send(rig.message(0))
        rig.break_it(None)
        before = rig.accepted()
        found = rig.reconcile(rig.message(0), rig.message(1))
        assert rig.accepted() == before
        if rig.provider.caps.reconcile is Lookup.LOOKUP:
            assert found == {rig.message(0).ref: Outcome.ACCEPTED}  # the other one is too young to be called absent
        else:
            assert Outcome.NOT_SENT not in found.values()

    def test_absence_means_not_sent_only_when_the_lookup_is_authoritative(self, rig: Rig):
        item = InDoubt("0" * 24, rig.message(0).channel, rig.message(0).address, "", gate_at=rig.clock.now())
        assert rig.look_up([item]) == {}
        after = rig.provider.caps.authoritative_after_seconds
        rig.clock.instant += (after if after is not None else 90 * 86_400) * SECOND
        assert rig.look_up([item]) == ({} if after is None else {item.ref: Outcome.NOT_SENT})

    def test_preflight_tells_and_does_not_raise(self, rig: Rig):
        assert rig.runner.run(rig.provider.preflight()).ok
        if Fail.CONFIG in rig.can:
            rig.break_it(Fail.CONFIG)
            preflight = rig.runner.run(rig.provider.preflight())
            assert not preflight.ok
            assert all(check.detail for check in preflight.checks)
        assert rig.accepted() == []

    def test_no_text_shows_an_address(self, rig: Rig):
        batch = [rig.message(0), rig.refused(), rig.opted_out()]
        assert_silent(repr(rig.provider), *batch)
        assert_silent(repr(batch), *batch)
        assert_silent(repr(rig.send(*batch)), *batch)
        for fail in rig.can - {Fail.CONFIG, Fail.HANG, Fail.ACCEPT_THEN_HANG}:
            rig.break_it(fail)
            assert_silent(repr(rig.send(*batch)), *batch)

    def test_an_unsigned_webhook_is_rejected(self, rig: Rig):
        with pytest.raises(WebhookRejected):
            rig.provider.read_events(RawRequest("POST", "https://example.com/hooks", {}, b"[]"))

    def test_what_it_declares_is_consistent(self, rig: Rig):
        caps = rig.provider.caps
        assert caps.max_batch >= 1
        assert (caps.authoritative_after_seconds is None) or caps.reconcile is Lookup.LOOKUP
        assert caps.per_second is None or caps.per_second > 0

    def test_closing_twice_does_no_harm(self, rig: Rig):
        assert [rig.runner.run(rig.provider.close()) for _ in range(2)] == [None, None]


def assert_silent(text: str, *messages: Outbound) -> None:
    """The text shows no address and nothing of a message's body."""
    for message in messages:
        assert not message.address.value or message.address.value not in text
        assert message.content.body.splitlines()[0] not in text


def with_ref(message: Outbound, ref: str) -> Outbound:
    return replace(message, ref=ref)
