"""How do a project's files become what workers execute? All of them or none: one lint error publishes nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from journeys.policy import Policy
from journeys.program import Program
from journeys.project import Project, compile_project, policy_names
from recall.clock import Instant
from recall.errors import Misconfigured
from recall.store.connect import Connection, Store
from recall.store.controls import record_action
from recall.store.policies import publish_policy, read_hash
from recall.store.versions import Version, publish_version, published_journeys


@dataclass
class Published:
    """What one publication changed."""

    new: list[Version] = field(default_factory=list)  # became current now; an older version may come back
    unchanged: list[Version] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)  # in force with other content than before
    left: list[str] = field(default_factory=list)  # journeys that go on as published: not in this project


def publish_project(
    store: Store, project: Project, *, now: Instant, who: str, why: str = "", only: Collection[str] | None = None
) -> Published:
    """Publish every journey (or `only` these) and the policies they name, in one transaction.

    Raises BadFile when lint finds an error anywhere in the project, Misconfigured for a journey that is not in it.
    """
    programs = compile_project(project)
    wanted = _wanted(programs, only)
    done = Published()
    with store.writing() as connection:
        for policy in _policies(project, wanted, only):
            _publish_policy(connection, policy, done, now=now, who=who, why=why)
        before = {version.name: version for version in published_journeys(connection)}
        for name in wanted:
            version = publish_version(connection, programs[name], now=now, who=who)
            _note(connection, version, before.get(name), done, now=now, who=who, why=why)
        done.left = sorted(set(before) - set(programs))
    return done


def is_published(program: Program, version: Version) -> bool:
    """Would publishing this program change nothing?"""
    return program.model_dump_json(exclude_none=True) == version.program.model_dump_json(exclude_none=True)


def _wanted(programs: dict[str, Program], only: Collection[str] | None) -> list[str]:
    for name in only or ():
        if name not in programs:
            raise Misconfigured(f"there is no journey {name!r} in this project; there are: {', '.join(programs)}")
    return [name for name in programs if only is None or name in only]


def _policies(project: Project, journeys: list[str], only: Collection[str] | None) -> list[Policy]:
    """A policy is in force for every journey that names it; with `only`, those of these journeys."""
    named = {name for journey in journeys for name in policy_names(project.journeys[journey].noun)}
    return [policy.noun for name, policy in sorted(project.policies.items()) if only is None or name in named]


def _publish_policy(
    connection: Connection, policy: Policy, done: Published, *, now: Instant, who: str, why: str
) -> None:
    before = read_hash(connection, policy.id)
    if publish_policy(connection, policy, now=now).hash != before:
        done.policies.append(policy.id)
        record_action(connection, "publish policy", policy.id, who=who, why=why, at=now)


def _note(
    connection: Connection,
    version: Version,
    before: Version | None,
    done: Published,
    *,
    now: Instant,
    who: str,
    why: str,
) -> None:
    if before is not None and before.id == version.id:
        done.unchanged.append(version)
        return
    done.new.append(version)
    record_action(connection, "publish journey", f"{version.name} version {version.number}", who=who, why=why, at=now)
