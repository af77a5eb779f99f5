"""Which deployments should there be? One set per published journey, from its own schedules, written as prefect.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from journeys.journey import Journey

TAG = "recall"  # what carries it is ours; `recall deploy` touches nothing else
POOL = "recall"
NAME = "recall"  # of deployments that belong to no journey: "recall-replay/recall"
UTC = "Etc/UTC"

_ONE_AT_A_TIME = {"limit": 1, "collision_strategy": "CANCEL_NEW"}
_HEAD = """\
# Written by `recall deploy` from the schedules of the journeys: change those, not this file.
# Entrypoints are module paths and nothing is pulled: recall is installed wherever a worker runs.
"""

Deployment = dict[str, Any]


def wanted(journeys: Iterable[Journey]) -> list[Deployment]:
    """Every deployment, in the order of prefect.yaml."""
    return [entry for journey in sorted(journeys, key=lambda each: each.id) for entry in _of(journey)] + _for_all()


def full_name(entry: Mapping[str, Any]) -> str:
    """As Prefect knows it: "journey-run/settled-30d"."""
    return f"{FLOWS[entry['entrypoint']]}/{entry['name']}"


def to_yaml(entries: Iterable[Deployment]) -> str:
    """The whole prefect.yaml."""
    content = {"name": "recall", "pull": [], "deployments": list(entries)}
    style: dict[str, Any] = {"sort_keys": False, "allow_unicode": True, "width": 120, "default_flow_style": None}
    written: str = yaml.dump(content, Dumper=_Plain, **style)
    return _HEAD + written


# entrypoint -> name of its flow; said here so that writing the file imports no flow
FLOWS = {
    "flows.run.run_journey": "journey-run",
    "flows.lane.run_lane": "journey-lane",
    "flows.enrol.run_enrol": "journey-enrol",
    "flows.replay.run_replay": "recall-replay",
    "flows.approve.run_approve": "recall-approve",
    "flows.intake.run_intake": "recall-intake",
    "flows.reconcile.run_reconcile": "recall-reconcile",
    "flows.review.run_review": "recall-review",
}


def _of(journey: Journey) -> list[Deployment]:
    parameters: dict[str, Any] = {"journey": journey.id}
    lanes = {"lanes": journey.lanes} if journey.lanes > 1 else {}
    run = _entry(
        "flows.run.run_journey",
        journey.id,
        f"Sends what is due. {journey.title}",
        parameters | lanes,
        cron=journey.run,
        zone=journey.zone,
        slug="run",
    )
    enrol = _entry(
        "flows.enrol.run_enrol",
        journey.id,
        f"Lets people in. {journey.title}",
        parameters,
        cron=journey.entry.schedule,
        zone=journey.zone,
        slug="enrol",
    )
    lane = _entry("flows.lane.run_lane", journey.id, "Takes a share of a run; started by it.", parameters, alone=False)
    return [run, enrol, *([lane] if lanes else [])]


def _for_all() -> list[Deployment]:
    evidence = _entry(
        "flows.reconcile.run_reconcile",
        NAME,
        "Looks for evidence of sends in doubt.",
        {},
        cron="*/5 * * * *",
        zone=UTC,
        slug="reconcile",
    )
    week = _entry(
        "flows.review.run_review",
        NAME,
        "Writes the weekly page: what came back because of the messages, and what it cost.",
        {"look": "week"},
        cron="0 1 * * 1",
        zone=UTC,
        slug="week",
    )
    replay = "Sends again what was missed; shows it first."
    return [
        evidence,
        week,
        _entry("flows.replay.run_replay", NAME, replay, {}, alone=False),
        _entry("flows.approve.run_approve", NAME, "Lets a journey that needs approval send.", {}, alone=False),
        _entry("flows.intake.run_intake", NAME, "Reads a file of the project folder.", {}),
    ]


def _entry(
    entrypoint: str,
    name: str,
    description: str,
    parameters: dict[str, Any],
    *,
    cron: str = "",
    zone: str = "",
    slug: str = "",
    alone: bool = True,
) -> Deployment:
    entry: Deployment = {
        "name": name,
        "entrypoint": entrypoint,
        "description": description.replace("{{", "{ {"),  # Prefect would look for a block of that name
        "tags": [TAG] if name == NAME else [TAG, name],
        "parameters": parameters,
        "schedules": [{"cron": cron, "timezone": zone, "slug": slug}] if cron else [],
    }
    if alone:
        entry["concurrency_limit"] = dict(_ONE_AT_A_TIME)
    return entry | {"work_pool": {"name": POOL}}


class _Plain(yaml.SafeDumper):
    """No anchors: each entry can be read by itself."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
