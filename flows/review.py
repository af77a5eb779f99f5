"""When is the week told? On Mondays; the page lies in the project's var/reviews, its headline beside the run."""

from __future__ import annotations

from typing import Literal, cast

from prefect import flow
from prefect.artifacts import acreate_table_artifact
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.names import plain_run
from tasks.review import Lines, look_at_day, write_week


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
    await acreate_table_artifact(
        key="recall-review",
        table=cast(Lines, told["lines"]),
        description=f"Incremental recalls with interval. The page: var/reviews/{told['page']}",
    )
    return Completed(message=f"var/reviews/{told['page']}")
