"""When is a file read in through Prefect? Whenever a person, a schedule or another flow names it."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.names import plain_run
from recall.measure.funnel import told
from tasks.intake import Kind, intake


@flow(name="recall-intake", flow_run_name=plain_run, persist_result=False)
async def run_intake(kind: Kind, path: str, mapping: str = "") -> State[None]:
    """Read one file of the project folder. Reading it twice adds nothing.

    Args:
        kind: What the rows are.
        path: The file, from the project folder of the worker, such as inbox/users.csv. No personal data in names.
        mapping: Name of a file in the project's mappings folder, without .yaml.
            Empty means that columns are called as our fields are.
    """
    counts = intake(kind, path, mapping)
    text = told({name: count for name, count in counts.items() if count}) or "an empty file"
    if counts["rejected"]:
        return Completed(name="Rejects", message=f"{kind}: {text}; mend the rejects file and read that")
    return Completed(message=f"{kind}: {text}")
