"""Do receipts lead to one final state, in any order and however often they come?"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import select

from journeys.words import ReceiptKind
from recall.clock import DAY, MINUTE
from recall.store import schema
from recall.store.policies import live_policies
from recall.store.receipts import Receipt, apply_receipts, record_receipts
from tests.engine.conftest import Scene
from tests.engine.conftest import scene as scene

CALL = [
    (ReceiptKind.DELIVERED, 1, ""),
    (ReceiptKind.UNDELIVERED, 2, "no_answer"),
    (ReceiptKind.ANSWERED, 4, "interested"),
    (ReceiptKind.ANSWERED, 5, "declined"),
]
SMS = [
    (ReceiptKind.DELIVERED, 2, ""),
    (ReceiptKind.CLICKED, 3, ""),
    (ReceiptKind.UNDELIVERED, 4, "30003"),
    (ReceiptKind.OPTED_OUT, 5, ""),
]


def send_one(scene: Scene, channel: str) -> str:
    version = scene.publish(f"  - {{{channel}: come-back}}")
    scene.add_user("u1")
    scene.enrol(version, "u1")
    scene.run()
    return str(scene.sends()[0].ref)


def tell(scene: Scene, ref: str, told: list[tuple[ReceiptKind, int, str]], *, one_by_one: bool) -> None:
    receipts = [
        Receipt("outbox", f"{kind}-{minute}", ref, kind, scene.now + minute * MINUTE, detail)
        for kind, minute, detail in told
    ]
    for part in ([r] for r in receipts) if one_by_one else [receipts]:
        with scene.store.writing() as connection:
            record_receipts(connection, part, now=scene.now + DAY)
            apply_receipts(connection, live_policies(connection), now=scene.now + DAY)


def picture(scene: Scene) -> dict[str, Any]:
    """Everything receipts may change."""
    with scene.store.reading() as connection:
        send = connection.execute(select(schema.sends)).mappings().one()
        phone = connection.execute(select(schema.addresses).where(schema.addresses.c.kind == "phone")).one()
        contact = connection.execute(select(schema.contact_state)).one()
    times = {key: value for key, value in send.items() if key.endswith("_at")}
    times |= {"answer": send["answer"], "state": send["state"], "opted_out": phone.opted_out}
    return times | {"streak": contact.streak, "responded_at": contact.responded_at}


def wipe(scene: Scene) -> None:
    """As if nothing had been told yet."""
    stamps = {f"{kind.value}_at": None for kind in ReceiptKind}
    with scene.store.writing() as connection:
        connection.execute(schema.receipts.delete())
        connection.execute(schema.suppressions.delete())
        connection.execute(schema.sends.update().values(answer=None, **stamps))
        connection.execute(schema.addresses.update().values(opted_out=0))
        connection.execute(schema.contact_state.update().values(streak=1, responded_at=None))


@pytest.mark.parametrize(("channel", "told"), [("call", CALL), ("sms", SMS)])
def test_every_order_gives_the_same_state(scene: Scene, channel: str, told: list[Any]) -> None:
    ref = send_one(scene, channel)
    pictures = []
    for order in permutations(told):
        wipe(scene)
        tell(scene, ref, list(order), one_by_one=True)
        tell(scene, ref, list(order[:2]), one_by_one=False)  # and some of them again
        pictures.append(picture(scene))
    assert all(seen == pictures[0] for seen in pictures)
    assert pictures[0]["answer"] == ("interested" if channel == "call" else None)
    assert pictures[0]["streak"] == 0


def test_a_batch_tells_the_same_as_one_by_one(scene: Scene) -> None:
    ref = send_one(scene, "call")
    tell(scene, ref, CALL, one_by_one=True)
    one_by_one = picture(scene)
    wipe(scene)
    tell(scene, ref, CALL, one_by_one=False)
    assert picture(scene) == one_by_one


def test_a_receipt_for_a_ref_nobody_knows_changes_nothing_and_is_kept(scene: Scene) -> None:
    send_one(scene, "sms")
    before = picture(scene)
    tell(scene, "f" * 24, SMS, one_by_one=False)
    with scene.store.reading() as connection:
        kept = connection.execute(select(schema.receipts)).all()
    assert (picture(scene), len(kept)) == (before, len(SMS))


def test_a_click_of_a_scanner_is_no_sign_of_life(scene: Scene) -> None:
    ref = send_one(scene, "sms")
    tell(scene, ref, [(ReceiptKind.CLICKED, 1, "suspect")], one_by_one=False)
    assert (picture(scene)["clicked_at"], picture(scene)["streak"]) == (None, 1)


def test_of_each_kind_the_earliest_time_stays(scene: Scene) -> None:
    ref = send_one(scene, "sms")
    tell(scene, ref, [(ReceiptKind.CLICKED, minute, "") for minute in (5, 3, 4)], one_by_one=True)
    assert picture(scene)["clicked_at"] == scene.now + 3 * MINUTE
