"""Does the gate walk the due index in order, and never sort or read whole tables?"""

from __future__ import annotations

from typing import Any

from recall.settings import Mode
from recall.store.cases import gate_passes
from recall.store.connect import Connection
from recall.store.gate import Gate, prepare
from recall.store.gate_rows import steered
from tests.engine.conftest import Scene
from tests.engine.conftest import scene as scene


def plan(connection: Connection, gate: Gate, now: int) -> str:
    """What the store means to do for one page, as text."""
    values: dict[str, Any] = {"now": now, "open_zones": [1], "ramp_left": 1, **gate.cutoffs.values(now)}
    values |= {"after_due": -1, "after_user": -1, "due_before": now, "chunk": 1000}
    compiled = gate.paged.params(**values).compile(connection.engine, compile_kwargs={"literal_binds": True})
    sql = str(compiled).replace("%%", "%").replace("%", "%%")
    explain = "explain " if connection.dialect.name == "postgresql" else "explain query plan "
    with steered(connection):
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(explain + sql))


def test_the_gate_walks_the_due_index(scene: Scene) -> None:
    version = scene.publish()
    rival = scene.publish(name="rival", priority=90)
    scene.add_user("u1")
    scene.enrol(version, "u1")
    scene.enrol(rival, "u1")
    with scene.store.reading() as connection:
        [gate_pass] = gate_passes(connection, version, version.program.message(1), mode=Mode.LIVE)
        text = plan(connection, prepare(gate_pass.of, lock=True), scene.now)
    assert "enrolments_due" in text
    for slow in ("Sort", "TEMP B-TREE", "SCAN", "Seq Scan on enrolments", "Seq Scan on sends", "CTE Scan", "Hash Join"):
        assert slow not in text, f"{slow}\n{text}"
    # Asked by time, everybody's events since the anchor would be read for every row.
    assert "user_events_by_time" not in text, text
    # Read as a join, every open send would be read for every row.
    assert "sends_open (enrolment_id=?" in text or "Index Cond: (enrolment_id = e.id)" in text, text
