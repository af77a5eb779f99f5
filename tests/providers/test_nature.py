"""Do simulated people return, tire and answer as the public data say?"""

from __future__ import annotations

from collections import Counter
from math import exp
from statistics import fmean

import pytest

from journeys.words import Channel
from providers.chance import exponential, gamma_one_and_a_half, happens, uniform
from providers.life import Kick, Life, Nature, live
from providers.nature import (
    NATURAL_LEVEL,
    STAGES,
    Stage,
    fatigue,
    message_kick,
    natural_hazard_sum,
    silent_days_at,
)
from providers.people import DEAD_SHARES, PUSH_SHARE, Population, nature_of
from providers.reaction import Contact, react
from recall.clock import DAY, SECOND

NOW = 1_772_416_800_000_000

# P(buys within 28 days | silent for d days) of 6,696 customer-days of the CDNOW sample.
CDNOW = {0: 0.2932, 7: 0.2637, 14: 0.2301, 30: 0.1737, 60: 0.1071, 90: 0.0776, 120: 0.0655, 180: 0.0409, 270: 0.0266}

# Successes at call k among the people who were called a k-th time, fitted to 124,956 calls of a bank.
FITTED_HAZARD = (0.0566, 0.0489, 0.0405, 0.0330, 0.0266, 0.0211, 0.0167, 0.0130, 0.0101, 0.0078)


@pytest.mark.parametrize("days", CDNOW)
def test_the_natural_hazard_has_the_shape_of_the_purchases(days: int):
    within_28_days = 1 - exp(natural_hazard_sum(days) - natural_hazard_sum(days + 28))
    assert within_28_days == pytest.approx(CDNOW[days], rel=0.1)


def test_the_inverse_of_the_natural_hazard_finds_the_day():
    for days in (0.0, 0.5, 28.0, 400.0):
        assert silent_days_at(natural_hazard_sum(days)) == pytest.approx(days, abs=1e-6)
    assert silent_days_at(99.0) is None


def test_fatigue_and_personal_factors_give_the_fitted_hazard_by_contact():
    answering = [exponential("response", person) for person in range(200_000)]
    base = FITTED_HAZARD[0]
    left = [1.0] * len(answering)  # chance to be still without success
    for contact, fitted in enumerate(FITTED_HAZARD, start=1):
        chances = [min(1.0, base * fatigue(contact) * response) for response in answering]
        hazard = sum(a * b for a, b in zip(left, chances, strict=True)) / sum(left)
        assert hazard == pytest.approx(fitted, abs=0.0012), contact
        left = [a * (1 - b) for a, b in zip(left, chances, strict=True)]


def test_draws_have_the_right_means_and_depend_on_nothing_but_their_subject():
    n = 50_000
    assert fmean(exponential("e", k) for k in range(n)) == pytest.approx(1, abs=0.02)
    gammas = [gamma_one_and_a_half("g", k) for k in range(n)]
    assert fmean(gammas) == pytest.approx(1, abs=0.02)
    assert fmean((gamma - 1) ** 2 for gamma in gammas) == pytest.approx(1 / 1.5, abs=0.04)
    assert fmean(happens(0.3, "h", k) for k in range(n)) == pytest.approx(0.3, abs=0.01)
    assert uniform("a", 1) == uniform("a", 1) != uniform("a", 2)
    assert 0 < min(uniform("u", k) for k in range(n)) < max(uniform("u", k) for k in range(n)) < 1


def population(n: int, **changes: object) -> Population:
    return Population(**{"n": n, "seed": 7, "start": NOW, "days": 90.0} | changes)  # type: ignore[arg-type]


def returned_within(life: Life, nature: Nature, days: int) -> bool:
    at = life.first(since=nature.enters_at).get("visited")
    return at is not None and at <= nature.enters_at + days * DAY


@pytest.mark.parametrize("stage", STAGES)
def test_untreated_returns_follow_the_curve_of_the_stage(stage: Stage):
    world = population(4000, stages={stage: 1.0})
    natures = [nature_of(world, number) for number in range(world.n)]
    returned = fmean(returned_within(live(nature, until=world.until), nature, 28) for nature in natures)

    def expected(nature: Nature) -> float:
        silent = (nature.enters_at - nature.silent_since) / DAY
        hazard = natural_hazard_sum(silent + 28) - natural_hazard_sum(silent)
        return 1 - exp(-STAGES[stage].natural * nature.tendency * NATURAL_LEVEL * hazard)

    assert returned == pytest.approx(fmean(map(expected, natures)), abs=0.02)


def _walk(nature: Nature, world: Population, *, cap: int, has_push: bool, dead: bool) -> tuple[Life, bool]:
    """The reference journey: push, SMS, call (two attempts), SMS, SMS, call, SMS; the cap does not count pushes."""
    kicks: list[Kick] = []
    life = live(nature, until=world.until)
    nth = counted = 0
    has_stopped = False
    for day, channel, attempts in (
        (0, Channel.PUSH, 1),
        (3, Channel.SMS, 1),
        (6, Channel.CALL, 2),
        (13, Channel.SMS, 1),
        (20, Channel.SMS, 1),
        (34, Channel.CALL, 2),
        (48, Channel.SMS, 1),
    ):
        at = nature.enters_at + day * DAY + SECOND
        silence = life.silence_at(at)
        is_due = silence is not None and silence.number == 1 and not has_stopped
        if not is_due or (not has_push if channel is Channel.PUSH else dead or counted >= cap):
            continue
        counted += channel is not Channel.PUSH
        for attempt in range(attempts):
            nth += 1
            contact = Contact(nature, channel, nth, at + attempt * SECOND, silence, nth, world.scale)
            reaction = react(contact, dead_share=0.08 if channel is Channel.PUSH else 0.02)
            kicks += reaction.kicks
            has_stopped = has_stopped or reaction.stop_at is not None
            if reaction.kicks:
                break
        life = live(nature, kicks, until=world.until)
    return life, has_stopped


def test_the_reference_journey_lifts_as_in_the_reference_table():
    world = population(6000)
    natures = [nature_of(world, number) for number in range(world.n)]
    untreated = fmean(returned_within(live(nature, until=world.until), nature, 60) for nature in natures)
    assert untreated == pytest.approx(0.129, abs=0.012)
    lifts, stops = {}, {}
    for cap in (1, 3):
        walks = [
            _walk(
                nature,
                world,
                cap=cap,
                has_push=happens(PUSH_SHARE * 0.92, "push", nature.user),
                dead=happens(0.02, "dead", nature.user),
            )
            for nature in natures
        ]
        returned = [returned_within(life, nature, 60) for (life, _), nature in zip(walks, natures, strict=True)]
        lifts[cap] = 100 * (fmean(returned) - untreated)
        stops[cap] = 100 * fmean(stopped for _, stopped in walks)
    assert lifts[1] == pytest.approx(1.36, abs=0.5)
    assert lifts[3] == pytest.approx(3.32, abs=0.7)
    assert stops[3] == pytest.approx(1.0, abs=0.4)


def test_a_kick_only_brings_a_return_forward():
    world = population(1500)
    later = 0
    for number in range(world.n):
        nature = nature_of(world, number)
        untreated = live(nature, until=world.until).silences[0].returned_at
        at = nature.enters_at + 5 * DAY
        treated = live(nature, [Kick(at, at, 0.4)], until=world.until).silences[0].returned_at
        assert untreated is None or (treated is not None and treated <= untreated)
        if untreated is not None and untreated <= at:
            assert treated == untreated  # what was before is as it was
        later += treated != untreated
    assert later > 300


def test_a_kick_works_only_in_the_silence_it_fell_into():
    world = population(400)
    for number in range(world.n):
        nature = nature_of(world, number)
        life = live(nature, until=world.until)
        if len(life.silences) > 1:
            first, second = life.silences[:2]
            assert first.returned_at is not None
            kick = Kick(first.returned_at - SECOND, second.since + DAY, 5.0)
            assert live(nature, [kick], until=world.until).deeds == life.deeds


def test_effects_are_additive_over_the_time_away():
    sizes = {message_kick(Channel.SMS, Stage.SETTLED, response=1.0, contact=1, scale=0.15) for _ in (30, 300)}
    assert len(sizes) == 1  # the time away is no part of it
    assert message_kick(Channel.SMS, Stage.CLOSED, response=1.0, contact=1, scale=0.15) == 0


def test_rates_of_delivery_clicks_answers_and_stops():
    world = population(1)
    nature = nature_of(world, 0)
    n = 20_000

    def reactions(channel: Channel, dead_share: float) -> Counter[str]:
        seen: Counter[str] = Counter()
        for nth in range(n):
            reaction = react(Contact(nature, channel, nth, NOW, None, 1, 0.15), dead_share=dead_share)
            seen.update(receipt.kind.value for receipt in reaction.receipts)
            seen["stopped"] += reaction.stop_at is not None
            assert not reaction.kicks  # somebody who is back is not won back
        return seen

    sms = reactions(Channel.SMS, 0.02)
    assert sms["delivered"] * 0.98 / n == pytest.approx(0.95, abs=0.01)
    assert sms["clicked"] / sms["delivered"] == pytest.approx(0.04, abs=0.006)
    assert sms["stopped"] / n == pytest.approx(0.003, abs=0.0015)
    call = reactions(Channel.CALL, 0.02)
    assert call["answered"] * 0.98 / n == pytest.approx(0.42, abs=0.015)
    assert call["stopped"] / call["answered"] == pytest.approx(0.006, abs=0.0025)
    assert reactions(Channel.PUSH, DEAD_SHARES["push"])["delivered"] * 0.92 / n == pytest.approx(0.8, abs=0.012)  # type: ignore[index]


def test_a_life_goes_on_after_a_return():
    world = population(3000, stages={Stage.REGISTERED: 1.0}, days=400.0)
    lives = [live(nature_of(world, number), until=world.until) for number in range(world.n)]
    names = Counter(deed.name for life in lives for deed in life.deeds)
    assert names["visited"] > names["logged_in"] > names["application_submitted"] > names["credit_granted"]
    assert names["loan_drawn"] == names["loan_settled"] > 0
    assert any(silence.stage is Stage.SETTLED for life in lives for silence in life.silences)
    for life in lives:
        assert len({deed.key for deed in life.deeds}) == len(life.deeds)
        told = [deed.at for deed in life.deeds if ":0:" not in deed.key]
        assert told == sorted(told)
