"""Which processes are killed, and to whom do they send? Senders forked by a nursery, and people who are all due now."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import select

from recall.clock import DAY, FixedClock, SystemClock
from recall.settings import Settings
from recall.store import schema
from recall.store.people import NewAddress, NewUser, upsert_users
from recall.store.versions import Version
from tests.engine.conftest import ELIGIBLE, Scene

ROOT = Path(__file__).parents[2]
AT_CALL = "at-call"  # folder where a process keeps a file of its number while it calls


class Nursery:
    """Senders without the seconds it takes to import: one process has imported everything, and forks each of them."""

    def __init__(self) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.sender", "--nursery"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate()  # the end of its input ends it

    def start(self, scene: Scene, settings: Settings, *more: str) -> int:
        """A sender that is ready to send; returns its process id."""
        url = scene.store.engine.url.render_as_string(hide_password=False)
        child = self._ask("start", str(settings.project_dir), url, "settled-30d", *more)
        assert child, "the sender did not start"
        return child

    def fork(self, scene: Scene, settings: Settings, *more: str) -> int:
        """The same without waiting: ask `is_ready`."""
        url = scene.store.engine.url.render_as_string(hide_password=False)
        return self._ask("fork", str(settings.project_dir), url, "settled-30d", *more)

    def is_ready(self, child: int) -> bool:
        """Whether it has got as far as sending, or has ended."""
        return bool(self._ask("ready", str(child)))

    def end(self, child: int) -> int:
        """Wait until a sender has ended; its exit code, negative for a signal."""
        return self._ask("end", str(child))

    def kill(self, child: int) -> int:
        """SIGKILL; how it ended, which is 0 when it was done already."""
        os.kill(child, signal.SIGKILL)  # one that is done waits as a zombie until `end`: its id is nobody else's
        return self.end(child)

    def _ask(self, *words: str) -> int:
        assert self._parent.stdin is not None and self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(words) + "\n")
        self._parent.stdin.flush()
        return int(self._parent.stdout.readline())


def gather(scene: Scene, count: int, *, first: int = 0) -> None:
    """So many more people due on a push, around the clock, on the wall clock that a sender reads too.

    Small chunks and a provider that takes its time make many moments to die in.
    """
    scene.clock = FixedClock(SystemClock().now())
    scene.outbox.mkdir(parents=True, exist_ok=True)
    (scene.outbox / "fault.json").write_text('{"latency_ms": 50}')
    version = scene.publish("  - {push: come-back}", policy=_small_chunks)
    rows = [
        NewUser(
            f"u{number:06d}",
            push=NewAddress(f"token-{number}", subkind="fcm_token"),
            zones=("Asia/Shanghai",),
            locale="zh-CN",
            jurisdiction="CN",
            proved_at=scene.now,
            attributes=ELIGIBLE,
        )
        for number in range(first, first + count)
    ]
    upsert_users(scene.store, rows, scene.now)
    _enrol(scene, version, [row.user for row in rows])


def _enrol(scene: Scene, version: Version, users: list[str]) -> None:
    """What `Scene.enrol` does, for thousands at once."""
    known, now = schema.users.c, scene.now
    of_all = {
        "journey_id": version.journey_id,
        "version_id": version.id,
        "anchor_at": now - 30 * DAY,
        "entered_at": now,
        "priority": 50,
        "step_id": version.program.start.node,
        "due_at": now,
        "first_due_at": now,
        "base_at": now,
        "goal_until": now + 28 * DAY,
        "entry_key": f"test-{now}",
    }
    with scene.store.writing() as connection:
        new = select(known.id).where(known.user_id.between(users[0], users[-1]))
        ids = list(connection.execute(new.order_by(known.id)).scalars())
        connection.execute(schema.contact_state.insert(), [{"user_id": id_, "brand": "default"} for id_ in ids])
        connection.execute(schema.enrolments.insert(), [{"user_id": id_, **of_all} for id_ in ids])


def _small_chunks(policy: dict[str, Any]) -> None:
    policy["windows"]["push"] = {day: ["00:00-24:00"] for day in ("workday", "weekend", "holiday")}
    policy["routes"]["push"]["per_second"] = 1
