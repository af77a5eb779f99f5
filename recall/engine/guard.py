"""Does a journey, or a sender, do harm? Then it stops itself, says why, and waits for a person."""

from __future__ import annotations

from journeys.journey import Guardrails
from journeys.policy import SenderHealth
from journeys.words import Channel
from recall.clock import DAY
from recall.engine.setup import Setup
from recall.store.controls import ControlKind, last_resumed, read_controls, set_control
from recall.store.health import Health, journey_health, sender_health
from recall.store.policies import live_policies
from recall.store.routes import Lane, slow_down
from recall.store.versions import Version

_LOOKS_BACK = 7 * DAY  # guardrails speak of the last week, or of the time since a person let the journey go on


def guard_journey(setup: Setup, version: Version) -> str | None:
    """Pause a journey whose guardrails are broken; returns why, None when all is well."""
    rails = version.program.journey.guardrails
    if rails is None:
        return None
    now = setup.clock.now()
    with setup.store.writing() as connection:
        if version.name in read_controls(connection).paused:
            return None
        since = max(now - _LOOKS_BACK, last_resumed(connection, version.name) or 0)
        why = broken(rails, journey_health(connection, version.journey_id, since=since))
        if why is not None:
            set_control(connection, ControlKind.PAUSED, version.name, who="recall", why=f"guardrail: {why}", at=now)
    return why


def broken(rails: Guardrails, health: Health) -> str | None:
    """Which guardrail is broken, in words; None when none is, or when too little was sent to tell."""
    if health.sends < rails.after:
        return None
    limits = (
        ("complaints", rails.complaints, health.complained),
        ("opt-outs", rails.opt_outs, health.opted_out),
        ("refusals", rails.refusals, health.refused),
    )
    for name, limit, count in limits:
        if limit is not None and health.share(count) > limit:
            return f"{count} {name} in {health.sends} sends is more than {limit / 10_000:g} %"
    return None


def rest_sick_senders(setup: Setup) -> list[str]:
    """Take senders out of their pools whose people complain, or do not answer; returns what was done, in words."""
    now, done = setup.clock.now(), list[str]()
    with setup.store.writing() as connection:
        for live in live_policies(connection).values():
            for channel, route in live.policy.routes.items():
                if route.health is not None:
                    found = sender_health(connection, channel.value, since=now - route.health.over.micros)
                    for (provider, sender), health in found.items():
                        why = sickness(route.health, health, channel)
                        if why is not None and provider in route.providers and sender in route.senders_of(provider):
                            until = now + route.health.rest.micros
                            slow_down(connection, Lane(provider, sender), until=until, why=why)
                            done.append(f"{provider}: one sender rests, {why}")
    return done


def sickness(limits: SenderHealth, health: Health, channel: Channel) -> str | None:
    """What ails a sender, in words; None when it is well, or too little is known."""
    if health.sends < limits.after:
        return None
    if limits.complaints is not None and health.share(health.complained) > limits.complaints:
        return f"{health.complained} complaints in {health.sends} messages"
    if channel is Channel.CALL and limits.answered is not None and health.share(health.answered) < limits.answered:
        return f"{health.answered} of {health.sends} calls were answered"
    return None
