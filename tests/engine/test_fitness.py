"""Does live mode refuse until the doctor found everything in place, lately, for these very providers?"""

from __future__ import annotations

import pytest

from recall.clock import DAY, Instant
from recall.engine.fitness import Fit
from recall.engine.setup import open_setup
from recall.errors import Misconfigured
from recall.settings import Mode, Settings
from recall.store.connect import Store
from recall.store.fitness import record_fitness
from recall.store.suppressions import declare_suppressions
from tests.engine.conftest import Scene
from tests.engine.conftest import scene as scene


def found(store: Store, *providers: str, at: Instant, wrong: tuple[str, ...] = ()) -> None:
    with store.writing() as connection:
        record_fitness(connection, providers=providers, wrong=wrong, at=at)


def refusal(store: Store, now: Instant) -> str:
    with pytest.raises(Misconfigured) as refused:
        Fit(store, ["twilio_sms"], days=30).check(now)
    return str(refused.value)


def test_what_the_doctor_never_saw_is_refused(store: Store, now: Instant):
    assert "before a preflight" in refusal(store, now)


def test_a_red_preflight_is_refused_and_told_by_name(store: Store, now: Instant):
    found(store, "twilio_sms", at=now, wrong=("webhooks",))
    assert "not green (webhooks)" in refusal(store, now)


def test_an_old_preflight_is_refused(store: Store, now: Instant):
    found(store, "twilio_sms", at=now - 30 * DAY)
    Fit(store, ["twilio_sms"], days=30).check(now)
    assert "older than 30 days" in refusal(store, now + 1)


def test_a_preflight_of_other_providers_is_refused(store: Store, now: Instant):
    found(store, "sendgrid_email", at=now)
    assert "did not look at twilio_sms" in refusal(store, now)


def test_a_newer_word_takes_the_place_of_the_older(store: Store, now: Instant):
    found(store, "twilio_sms", at=now, wrong=("webhooks",))
    found(store, "sendgrid_email", "twilio_sms", at=now)
    Fit(store, ["twilio_sms"], days=30).check(now)


def test_a_batch_asks_before_its_first_gate(scene: Scene):
    version = scene.publish("  - {sms: come-back}\n")
    scene.add_user("u1")
    scene.enrol(version, "u1")
    object.__setattr__(scene.setup, "fit", Fit(scene.store, ["outbox"], days=30))
    with pytest.raises(Misconfigured, match="recall doctor"):
        scene.run()
    assert scene.sends() == []
    found(scene.store, "outbox", at=scene.now)
    scene.run()
    assert scene.sent() == [("u1", "sms")]


@pytest.mark.parametrize(
    ("mode", "asks"), [(Mode.LIVE, True), (Mode.REHEARSAL, False), (Mode.TEST_RECIPIENTS, False), (Mode.DRY_RUN, False)]
)
def test_only_live_mode_with_real_providers_asks(scene: Scene, settings: Settings, mode: Mode, asks: bool):
    scene.publish(policy=lambda content: content["routes"]["in_app"].update(providers=["in_app"]))
    with scene.store.writing() as connection:
        declare_suppressions(connection, "none", at=scene.now)
    opened = open_setup(settings.model_copy(update={"mode": mode}), store=scene.store)
    assert (opened.fit is not None) is asks
