"""How does a test publish a journey? The smallest one, with the parts it is about written as in a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from journeys.compile import compile_journey
from journeys.loader import load_policy, read_journey
from journeys.policy import Policy
from journeys.templates import load_template
from recall.store.connect import Store
from recall.store.policies import publish_policy
from recall.store.versions import Version, publish_version

SHIPPED = Path(__file__).parents[2] / "journeys"
SETTLED = {
    "anchor": "loan_settled",
    "audience": {
        "all": [
            {"did": "loan_settled", "between": ["30d", "60d"]},
            {"did_not": "loan_drawn", "since": "loan_settled"},
        ]
    },
}


def publish(
    store: Store, *, now: int, name: str = "settled-30d", entry: dict[str, Any] = SETTLED, **more: Any
) -> Version:
    """Publish a journey; `more` are further parts of the file, and win."""
    written = {
        "schema": "recall.journey/v1",
        "id": name,
        "title": "A journey of a test",
        "policy": "cn-consumer-finance",
        "entry": entry,
        "goal": {"event": "loan_drawn", "window": "28d"},
        "steps": [{"push": "come-back"}],
    } | more
    journey = read_journey(json.dumps(written).encode(), f"{name}.yaml").noun
    template = load_template(SHIPPED / "templates" / "come-back.yaml").noun
    program = compile_journey(journey, templates={"come-back": template})
    with store.writing() as connection:
        return publish_version(connection, program, now=now, who="test")


def publish_shipped_policy(store: Store, name: str = "cn-consumer-finance", *, now: int, **changes: Any) -> Policy:
    """Put a shipped policy in force, with some of its parts changed."""
    policy = load_policy(SHIPPED / "policies" / f"{name}.yaml").noun.model_copy(update=changes)
    with store.writing() as connection:
        publish_policy(connection, policy, now=now)
    return policy
