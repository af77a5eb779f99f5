"""What does the Prefect server have of ours, and how does it get what it should have?"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags, FlowFilter, FlowFilterId
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from flows.automations import ensure_automations
from flows.deployments import NAME, POOL, TAG, Deployment, full_name, to_yaml
from recall.errors import Misconfigured

_PAGE = 200
_RECONCILE = f"recall-reconcile/{NAME}"


@dataclass
class Difference:
    """What is wanted against what the server has, by full name."""

    new: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)  # name -> "what: before -> after"
    same: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)  # ours, and not wanted any more

    def told(self, *, automations: list[str]) -> dict[str, Any]:
        """As a door shows it; `automations` are the names of those made now."""
        found = {"new": self.new, "changed": self.changed, "removed": self.stale}
        return {**found, "unchanged": len(self.same), "automations": automations}


async def compare(wanted: Iterable[Deployment]) -> dict[str, Any]:
    """What deploying would change; changes nothing."""
    async with _client() as client:
        there = await _deployed(client)
    return _difference(list(wanted), there).told(automations=[])


async def apply(wanted: Iterable[Deployment], *, limit: int | None) -> dict[str, Any]:
    """Make the server have exactly what is wanted; returns what changed.

    Deploys only what differs, so that what a person paused stays paused. Never touches what is not tagged as ours.
    `limit` is how many flow runs the work pool lets run at once; None leaves that as it is.
    """
    entries = list(wanted)
    async with _client() as client:
        await _ensure_pool(client, limit)
        there = await _deployed(client)
        difference = _difference(entries, there)
        _deploy([entry for entry in entries if full_name(entry) in {*difference.new, *difference.changed}])
        for name in difference.changed:
            await _pause_again(client, there[name])
        for name in difference.stale:
            await client.delete_deployment(there[name].id)
        reconcile = await client.read_deployment_by_name(_RECONCILE)
        made = await ensure_automations(client, reconcile.id)
    return difference.told(automations=made)


def _client() -> PrefectClient:
    """A client of the server that is named; without one Prefect would start a throw-away server of its own."""
    if get_current_settings().api.url is None:
        raise Misconfigured("no Prefect server is named: set PREFECT_API_URL, or start one with `recall up`")
    return get_client()


async def _deployed(client: PrefectClient) -> dict[str, DeploymentResponse]:
    """Everything tagged as ours, by full name."""
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    found: list[DeploymentResponse] = []
    try:
        while len(page := await client.read_deployments(deployment_filter=ours, limit=_PAGE, offset=len(found))) > 0:
            found += page
        theirs = FlowFilter(id=FlowFilterId(any_=list({each.flow_id for each in found})))
        flows = {flow.id: flow.name for flow in await client.read_flows(flow_filter=theirs)}
    except httpx.TransportError as error:
        url = get_current_settings().api.url
        raise Misconfigured(f"no Prefect server answers at {url} ({type(error).__name__}); is it running?") from None
    return {f"{flows[each.flow_id]}/{each.name}": each for each in found}


def _difference(wanted: list[Deployment], there: Mapping[str, DeploymentResponse]) -> Difference:
    difference = Difference()
    for entry in wanted:
        name = full_name(entry)
        if name not in there:
            difference.new.append(name)
        elif changes := _changes(_seen(there[name]), _meant(entry)):
            difference.changed[name] = changes
        else:
            difference.same.append(name)
    difference.stale = sorted(set(there) - {full_name(entry) for entry in wanted})
    return difference


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    return [f"{key}: {before[key]} -> {after[key]}" for key in after if before[key] != after[key]]


def _meant(entry: Deployment) -> dict[str, Any]:
    limit = entry.get("concurrency_limit")
    return {
        "entrypoint": entry["entrypoint"],
        "description": entry["description"],
        "tags": sorted(entry["tags"]),
        "parameters": entry["parameters"],
        "schedules": [f"{each['cron']} {each['timezone']}" for each in entry["schedules"]],
        "concurrency_limit": f"{limit['limit']} {limit['collision_strategy']}" if limit else "none",
        "work_pool": entry["work_pool"]["name"],
    }


def _seen(there: DeploymentResponse) -> dict[str, Any]:
    limit, options = there.global_concurrency_limit, there.concurrency_options
    return {
        "entrypoint": there.entrypoint,
        "description": there.description,
        "tags": sorted(there.tags),
        "parameters": there.parameters,
        "schedules": [
            f"{getattr(each.schedule, 'cron', each.schedule)} {getattr(each.schedule, 'timezone', '')}"
            for each in there.schedules
        ],
        "concurrency_limit": f"{limit.limit} {options.collision_strategy.value}" if limit and options else "none",
        "work_pool": there.work_pool_name,
    }


async def _ensure_pool(client: PrefectClient, limit: int | None) -> None:
    """The pool with its limit. Not the worker's `--limit`: with that, Retry pressed within about a second of a run's
    end kills the worker (prefect 3.8.8: "this borrower is already holding one of this CapacityLimiter's tokens").
    """
    try:
        pool = await client.read_work_pool(POOL)
        if limit is not None and pool.concurrency_limit != limit:
            await client.update_work_pool(POOL, WorkPoolUpdate(concurrency_limit=limit))
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        new = WorkPoolCreate(name=POOL, type="process", base_job_template=template, concurrency_limit=limit)
        await client.create_work_pool(new)
    except httpx.TransportError as error:
        raise Misconfigured(
            f"no Prefect server answers at {get_current_settings().api.url} ({type(error).__name__}); is it running?"
        ) from None


def _deploy(entries: list[Deployment]) -> None:
    """Let Prefect's own command read these entries, as it reads the whole prefect.yaml.

    Only these: its `--name` cannot tell two deployments of one name apart where entrypoints are module paths
    (prefect 3.8.8 compares the whole entrypoint with the name of the flow).
    """
    if not entries:
        return
    with TemporaryDirectory() as folder:
        (Path(folder) / "prefect.yaml").write_text(to_yaml(entries), "utf-8")
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise Misconfigured(f"`prefect deploy` refused prefect.yaml: {' '.join(last)}")


async def _pause_again(client: PrefectClient, before: DeploymentResponse) -> None:
    """Deploying starts every schedule; those a person had stopped stay stopped."""
    now = await client.read_deployment(before.id)
    stopped = {each.slug for each in before.schedules if not each.active}
    for schedule in now.schedules:
        if schedule.slug in stopped:
            await client.update_deployment_schedule(now.id, schedule.id, active=False)
    if before.paused and not now.paused:
        await client.pause_deployment(now.id)
