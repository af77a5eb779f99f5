"""How do people stand in the store after a journey? Rows as the engine leaves them, by the dozen."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text

from recall.clock import DAY
from recall.store import schema
from recall.store.versions import Version
from tests.engine.conftest import Scene

HOLDOUT = "holdout: {percent: 20}"


def no_programme(policy: dict[str, Any]) -> None:
    policy["holdout"] = 0


def people(
    scene: Scene, version: Version, *, treated: int, held_out: int, back: int, back_held_out: int, prefix: str = "p"
) -> None:
    """Rows as the engine leaves them: enrolled now, some with a goal three days later."""
    sides = [("treated", n < back) for n in range(treated)] + [("journey", n < back_held_out) for n in range(held_out)]
    add(scene, version, sides, prefix=prefix)


def add(scene: Scene, version: Version, sides: list[tuple[str, bool]], *, arm: str = "", prefix: str = "p") -> None:
    at = scene.now
    with scene.store.writing() as connection:
        connection.execute(text("insert into zones (names) select 'UTC' where not exists (select 1 from zones)"))
        zone = connection.execute(text("select min(id) from zones")).scalar_one()
        for n, (holdout, is_back) in enumerate(sides):
            user = connection.execute(
                schema.users.insert()
                .values(user_id=f"{prefix}{at}-{n}", zone_id=zone, created_at=at - 90 * DAY)
                .returning(schema.users.c.id)
            ).scalar_one()
            enrolment = connection.execute(
                schema.enrolments.insert()
                .values(
                    journey_id=version.journey_id, version_id=version.id, user_id=user, entry_key="k", anchor_at=at,
                    entered_at=at, holdout=holdout, arm=arm, active=False, ended_at=at + 9 * DAY, end_reason="finished",
                    step_id=0, due_at=at, first_due_at=at, base_at=at, goal_until=at + 28 * DAY,
                    goal_at=at + 3 * DAY if is_back else None, goal_value=5_000_000 if is_back else None,
                )
                .returning(schema.enrolments.c.id)
            ).scalar_one()  # fmt: skip
            state = "accepted" if holdout == "treated" else "shadow"
            connection.execute(
                schema.sends.insert().values(
                    ref=f"{enrolment}", enrolment_id=enrolment, journey_id=version.journey_id, version_id=version.id,
                    step_id=0, channel="push", user_id=user, address_id=0, state=state, provider="outbox",
                    gate_at=at + DAY, body_hash="", policy_hash="", price=100_000 if state == "accepted" else 0,
                    currency="CNY", due_at=at, first_due_at=at, delivered_at=at + DAY if state == "accepted" else None,
                )
            )  # fmt: skip
            if is_back:
                name = {"user_id": user, "name": "loan_drawn"}
                event = schema.events.insert().values(key=f"{user}", at=at + 3 * DAY, recorded_at=at + 3 * DAY, **name)
                number = connection.execute(event.returning(schema.events.c.id)).scalar_one()
                latest = {"first_at": at + 3 * DAY, "last_at": at + 3 * DAY, "last_event_id": number, "times": 1}
                connection.execute(schema.user_events.insert().values(**name, **latest))
