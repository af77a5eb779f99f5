"""Is a person forgotten whole, and never messaged again, while the counts stay?"""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from recall.clock import DAY
from recall.errors import Misconfigured
from recall.store import schema
from recall.store.erasure import erase
from recall.store.people import NewAddress, NewUser, upsert_users
from tests.engine.conftest import Scene
from tests.engine.conftest import scene as scene

CANARIES = ("canary-user", "+8613811112222", "token-canary-user", "canary-tier", "canary-property")


@pytest.fixture
def forgotten(scene: Scene) -> Scene:
    """Somebody with a phone of their own, events, attributes and a message, and then no more."""
    version = scene.publish(
        "  - {sms: come-back, link: https://example.com/canary-link}\n  - {wait: 3d}\n  - {push: come-back}"
    )
    scene.add_user("canary-user", phone="+8613811112222", attributes={"tier": "canary-tier"})
    scene.event("canary-user", "visited", note="canary-property")
    scene.enrol(version, "canary-user")
    scene.run()
    with scene.store.writing() as connection:
        erase(connection, scene.store, user="canary-user", who="ada", why="asked", at=scene.now)
    return scene


def everything(scene: Scene) -> str:
    """Every value of every table, as text."""
    with scene.store.reading() as connection:
        rows = [row for table in schema.metadata.sorted_tables for row in connection.execute(select(table))]
    return repr(rows)


def test_no_table_knows_the_person_any_more(forgotten: Scene) -> None:
    kept = everything(forgotten)
    assert [canary for canary in (*CANARIES, "canary-link") if canary in kept] == []


def test_nobody_messages_who_was_erased(forgotten: Scene) -> None:
    forgotten.later(3 * DAY)
    forgotten.run()
    assert len(forgotten.sent()) == 1
    assert forgotten.enrolment(1).end_reason == "erased"


def test_what_was_counted_stays_counted(forgotten: Scene) -> None:
    with forgotten.store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(schema.sends)).scalar_one() == 1


def test_an_old_list_brings_nobody_back(forgotten: Scene) -> None:
    again = NewUser("canary-user", phone=NewAddress("+8613811112222", region="CN"), zones=("Asia/Shanghai",))
    assert upsert_users(forgotten.store, [again], forgotten.now).refused == {0: "erased_user"}


def test_an_address_that_others_share_stays_theirs(scene: Scene) -> None:
    for user in ("u1", "u2"):
        scene.add_user(user, phone="+8613811112222")
    with scene.store.writing() as connection:
        erase(connection, scene.store, user="u1", who="ada", why="asked", at=scene.now)
        phone: Any = connection.execute(select(schema.addresses).where(schema.addresses.c.kind == "phone")).one()
    assert (phone.value, phone.suppressed) == ("+8613811112222", False)


def test_nobody_is_erased_by_a_wrong_id(scene: Scene) -> None:
    with pytest.raises(Misconfigured, match="no user has this id"), scene.store.writing() as connection:
        erase(connection, scene.store, user="nobody", who="ada", why="asked", at=scene.now)
