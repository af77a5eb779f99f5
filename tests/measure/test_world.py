"""Does the report of the real engine tell what the messages really did, where both futures of each person are known?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import select

from journeys.journey import HoldoutShare
from journeys.project import Project, shipped_project
from journeys.words import Channel
from providers.happenings import Truth
from providers.nature import NATURAL_LEVEL, REACH, STAGES, Stage, click_kick, message_kick
from providers.world import World, populate, truth
from recall.clock import HOUR, Instant
from recall.engine.publish import publish_project
from recall.engine.setup import open_setup
from recall.engine.simulate import engine_passes, routed_to_world, simulate, start_simulation
from recall.measure.holdouts import Holdouts
from recall.measure.outcomes import Outcome, read_outcome
from recall.measure.ratio import Ratio
from recall.measure.simulated_programmes import Crowd, Touch, simulate_programme
from recall.settings import load
from recall.store import schema
from recall.store.connect import open_store
from recall.store.figures import Asked
from recall.store.figures_days import every_version
from recall.store.simulated import throw_away
from recall.store.versions import current_version
from tests.conftest import ADDRESS_KEY

pytestmark = pytest.mark.slow
JOURNEY, PEOPLE, DAYS, SCALE = "settled-30d", 2_000, 45, 0.6
HELD_OUT = 40  # percent


@dataclass(frozen=True)
class Passage:
    """One enrolment, with what the world knows of the person."""

    is_held_out: bool
    entered_at: Instant
    goal_until: Instant
    came: bool  # by our store
    truth: Truth

    def comes(self, *, treated: bool) -> bool:
        at = (self.truth.actual if treated else self.truth.untreated).get("loan_drawn")
        return at is not None and self.entered_at < at <= self.goal_until


@dataclass(frozen=True)
class Seen:
    outcome: Outcome
    passages: list[Passage]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, _migrated_file: Path) -> Iterator[Seen]:
    """2,000 people, 45 virtual days, through gate, ledger and receipts; then the report."""
    folder = tmp_path_factory.mktemp("world")
    database = folder / "recall.db"
    database.write_bytes(_migrated_file.read_bytes())
    settings = load(
        _env_file=None, project_dir=folder, address_key=ADDRESS_KEY, database_url=f"sqlite:///{database}",
        world_url=str(folder / "world.db"),
    )  # fmt: skip
    start = 1_772_416_800_000_000 - 10 * HOUR  # midnight in Shanghai
    store = open_store(settings)
    populate(folder / "world.db", n=PEOPLE, seed=5, start=start, days=DAYS + 1, scale=SCALE, stages={Stage.SETTLED: 1})
    start_simulation(store, at=start)
    throw_away(store)
    publish_project(store, routed_to_world(half_held_out()), now=start, who="test", only=[JOURNEY])
    setup = open_setup(settings, store=store)
    world = setup.providers["world"]
    assert isinstance(world, World)
    simulate(setup, world, [JOURNEY], days=DAYS, passes=engine_passes(setup), runs="15 9,12,18 * * *")
    with store.reading() as connection:
        asked = Asked(connection, now=setup.clock.now())
        found = read_outcome(asked, current_version(connection, JOURNEY), Holdouts(asked, every_version(connection)))
        rows = connection.execute(
            select(schema.enrolments, schema.users.c.user_id.label("user"))
            .join(schema.users, schema.users.c.id == schema.enrolments.c.user_id)
            .where(schema.enrolments.c.goal_until <= asked.now)
            .order_by(schema.enrolments.c.id)
        ).all()
    known = {each.user: each for each in truth(world.path)}
    first = {row.user: row for row in reversed(rows)}
    yield Seen(
        found,
        [
            Passage(row.holdout != "treated", row.entered_at, row.goal_until, row.goal_at is not None, known[user])
            for user, row in first.items()
        ],
    )
    store.close()


def half_held_out() -> Project:
    """Many held out, so that so few people tell something."""
    project = shipped_project()
    loaded = project.journeys[JOURNEY]
    journey = loaded.noun.model_copy(update={"holdout": HoldoutShare(percent=HELD_OUT)})
    return replace(project, journeys={**project.journeys, JOURNEY: replace(loaded, noun=journey)})


def share(passages: list[Passage], *, treated: bool) -> float:
    return sum(passage.comes(treated=treated) for passage in passages) / len(passages)


def test_counts_are_those_of_the_world_person_by_person(seen: Seen):
    found, held_out = seen.outcome.comparison, [p for p in seen.passages if p.is_held_out]
    treated = [p for p in seen.passages if not p.is_held_out]
    assert (found.treated.people, found.control.people) == (len(treated), len(held_out))
    assert (found.treated.goals, found.control.goals) == (sum(p.came for p in treated), sum(p.came for p in held_out))
    assert [p for p in seen.passages if p.came != p.comes(treated=not p.is_held_out)] == []
    assert seen.outcome.ratio.state is Ratio.FINE


def test_the_lift_of_the_report_is_the_true_one_within_its_interval(seen: Seen):
    lift = seen.outcome.comparison.lift
    treated = [p for p in seen.passages if not p.is_held_out]
    effect = share(treated, treated=True) - share(treated, treated=False)  # what the messages did to those who got them
    assert lift is not None
    assert effect > 0.03
    assert lift.low <= effect <= lift.high
    assert not lift.includes_zero


def test_the_attributed_count_overstates_what_the_messages_did(seen: Seen):
    """Every treated person who came back after a message, against those who would not have come without."""
    treated = [p for p in seen.passages if not p.is_held_out]
    caused = sum(p.comes(treated=True) and not p.comes(treated=False) for p in treated)
    attributed = seen.outcome.attributed
    assert attributed is not None
    assert attributed.after_message > 1.3 * caused


def crowd() -> Crowd:
    """The people of the world who may enter: settled, silent for 30 to 60 days."""
    shape = STAGES[Stage.SETTLED]
    return Crowd(silent_to=60, level=NATURAL_LEVEL * shape.natural, finishes=shape.login * shape.withdraw)


def touches() -> list[Touch]:
    """Push on the first day, SMS three days later, a call after three more; what each does on average."""
    found = []
    for k, (channel, has_address) in enumerate(((Channel.PUSH, 0.45), (Channel.SMS, 1), (Channel.CALL, 1)), 1):
        reach, day = REACH[channel], 3.0 * (k - 1) + 0.3
        about = {"response": 1.0, "contact": k, "scale": SCALE}
        found.append(Touch(day, message_kick(channel, Stage.SETTLED, **about), has_address * reach.delivered))
        clicks = has_address * reach.delivered * reach.clicked
        found.append(Touch(day + 0.25, click_kick(Stage.SETTLED, **about), clicks))
    return found


def test_the_numpy_path_agrees_with_the_engine(seen: Seen):
    """The same people and messages by the hundred thousand, without engine: rates within three standard errors."""
    programme = simulate_programme(1, 200_000, crowd=crowd(), touches=touches())
    found = seen.outcome.comparison
    for side, expected in ((found.treated, programme.treated.mean()), (found.control, programme.untreated.mean())):
        error = (expected * (1 - expected) / side.people) ** 0.5
        assert abs((side.rate or 0) - expected) < 3 * error
    treated = [p for p in seen.passages if not p.is_held_out]
    effect = share(treated, treated=True) - share(treated, treated=False)
    spread = (effect * (1 - effect) / len(treated)) ** 0.5  # a share of people turned
    assert abs(effect - programme.truth) < 3 * spread
