"""When is the week told? On Mondays; the page lies in the project's var/reviews, its headline beside the run.

Owners named in the settings get it by e-mail too.
"""

from __future__ import annotations

from typing import Literal

from prefect import flow
from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.names import plain_run
from tasks.review import look_at_day, write_week


@flow(name="recall-review", flow_run_name=plain_run, persist_result=False)
async def run_review(look: Literal["week", "day"] = "week", lang: Literal["en", "zh-CN"] = "en") -> State[None]:
    """Write the weekly page, or look at yesterday; the numbers are those of `recall review`.

    Args:
        look: week writes the page; day compares yesterday with targets and the same weekday last week.
        lang: Language of the page.
    """
    if look == "day":
        alerts = look_at_day()
        if alerts:
            return Completed(name="Alert", message="; ".join(alerts))
        return Completed(message="no alert")
    told = write_week(lang)
    page = f"var/reviews/{told.page}"
    mailed = f" · {told.mailed}" if told.mailed else ""
    await acreate_table_artifact(
        key="recall-review",
        table=told.lines,
        description=f"Incremental recalls with interval. The page: {page}{mailed}",
    )
    return Completed(message=f"{page}{mailed}")
