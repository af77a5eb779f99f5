"""Can a person see what is held about them, and be forgotten?"""

from __future__ import annotations

import json

from recall.engine.dossier import dossier
from tests.engine.conftest import Scene
from tests.engine.conftest import scene as scene


def test_a_dossier_tells_each_message_with_what_the_gate_knew(scene: Scene) -> None:
    version = scene.publish("  - {sms: come-back}\n  - {wait: 3d}\n  - {sms: come-back, id: second}")
    scene.add_user("u1", phone="+8613811112222")
    scene.event("u1", "visited", source="app")
    scene.enrol(version, "u1")
    scene.run()
    told = dossier(scene.store, "u1")
    [passage] = told["journeys"]
    [message] = passage["messages"]
    [send] = scene.sends()
    assert message["text_hash"] == send.body_hash
    assert message["policy_hash"] == send.policy_hash
    assert message["consent_id"] in [consent["id"] for consent in told["consents"]]
    assert "+8613811112222" in [address["value"] for address in told["addresses"]]
    assert told["events"] == [{"name": "visited", "at": message["gate_at"], "properties": {"source": "app"}}]
    assert json.loads(json.dumps(told)) == told
