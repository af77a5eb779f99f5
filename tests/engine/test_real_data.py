"""Does the main job give the right people on real histories? Held against plain pandas, to the last user.

The files lie outside the project and are never committed; without them these tests are skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
from sqlalchemy import select

from journeys.compile import compile_journey
from journeys.loader import load_policy, read_journey
from journeys.policy import Policy
from journeys.templates import read_template
from providers.outbox import Outbox, accepted_log
from recall.clock import Instant, to_datetime
from recall.engine.backtest import Period, backtest
from recall.engine.setup import Setup
from recall.intake.events import import_events
from recall.intake.mapping import FileMapping
from recall.settings import Settings
from recall.store import schema
from recall.store.connect import Store, StoreClock, open_store, write_fact
from recall.store.migrations import migrate
from recall.store.policies import publish_policy
from recall.store.versions import publish_version

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
UTC = ZoneInfo("UTC")

needs_data = pytest.mark.skipif(not DATA.exists(), reason="the public data sets are not beside the checkout")

JOURNEY = b"""
schema: recall.journey/v1
id: lapsed-28d
title: Four weeks without a purchase
zone: UTC
policy: shop
entry:
  anchor: purchased
  audience: {did: purchased, between: [28d, 60d]}
goal: {event: purchased, window: 28d}
steps:
  - {in_app: come-back}
  - {wait: 7d}
  - {in_app: come-back, id: second}
  - {wait: 7d}
  - {in_app: come-back, id: third}
"""
TEMPLATE = b"""
schema: recall.template/v1
id: come-back
in_app: {en: {title: Hello, body: We have missed you}}
"""


@dataclass(frozen=True)
class DataSet:
    """One file, how it is read, and the days it covers."""

    file: str
    mapping: dict[str, Any]
    first: date
    last: date
    purchases: int

    def purchase_days(self) -> pd.DataFrame:
        """User and day of each purchase, by pandas alone."""
        path = DATA / self.file
        if self.file.endswith(".txt"):
            rows = pd.read_csv(path, sep=r"\s+", header=None, dtype=str, names=["study", "user", "day", "n", "amount"])
        else:
            rows = pd.read_csv(path, dtype=str).rename(columns={"CustomerID": "user", "InvoiceDate": "day"})
        assert len(rows) == self.purchases
        rows["day"] = pd.to_datetime(rows["day"].str.replace("-", ""), format="%Y%m%d").dt.date
        return rows[["user", "day"]].drop_duplicates()


CDNOW = DataSet(
    "cdnow_sample_1of10.txt",
    {
        "map": {"user": "customer", "at": "day"},
        "set": {"name": "purchased"},
        "properties": {"amount": "amount", "disks": "n"},
        "columns": ["study", "customer", "day", "n", "amount"],
        "header": "false",
        "delimiter": "whitespace",
        "zone": "UTC",
        "default_zone": "UTC",
        "create_users": "true",
    },
    date(1997, 1, 1),
    date(1998, 6, 30),
    6919,
)
RETAIL = DataSet(
    "online_retail_uci_invoices.csv",
    {
        "map": {"user": "CustomerID", "at": "InvoiceDate", "id": "InvoiceNo"},
        "set": {"name": "purchased"},
        "properties": {"amount": "TotalPrice"},
        "zone": "UTC",
        "default_zone": "UTC",
        "create_users": "true",
    },
    date(2010, 12, 1),
    date(2011, 12, 9),
    18532,
)


@pytest.fixture
def source(settings: Settings, tmp_path: Path) -> Any:
    """A SQLite store of its own that takes the file, whatever store the journey runs on."""
    given = settings.model_copy(update={"var_dir": tmp_path / "source", "database_url": ""})
    opened = open_store(given)
    migrate(opened.engine)
    yield opened
    opened.close()


def shop_policy(content: dict[str, Any]) -> Policy:
    """The shipped policy, but for a shop: nobody needs to be eligible, in-app cards at any hour, nothing counted."""
    whole_day = {day: ["00:00-24:00"] for day in ("workday", "weekend", "holiday")}
    content |= {"id": "shop", "eligible": [], "caps": [], "counts": [], "holdout": 0}
    content["windows"]["in_app"] = whole_day
    content["consent"]["channels"] = []
    content.pop("unresponsive")
    return Policy.model_validate(content)


def publish(store: Store, now: Instant) -> None:
    shipped = load_policy(ROOT / "journeys" / "policies" / "cn-consumer-finance.yaml").noun
    policy = shop_policy(shipped.model_dump(mode="json", exclude_none=True))
    journey = read_journey(JOURNEY, "lapsed-28d.yaml").noun
    template = read_template(TEMPLATE, "come-back.yaml").noun
    with store.writing() as connection:
        publish_policy(connection, policy, now=now)
        publish_version(connection, compile_journey(journey, templates={"come-back": template}), now=now, who="test")
        write_fact(connection, "simulated", "true")


PAIRS = [
    pytest.param("sqlite", CDNOW, id="sqlite cdnow"),
    pytest.param("postgresql", RETAIL, id="postgresql retail", marks=pytest.mark.slow),
    pytest.param("sqlite", RETAIL, id="sqlite retail", marks=pytest.mark.slow),
    pytest.param("postgresql", CDNOW, id="postgresql cdnow", marks=pytest.mark.slow),
]


@needs_data
@pytest.mark.parametrize(("kind", "data"), PAIRS)
def test_a_28_day_lapse_day_by_day_equals_plain_pandas(
    request: pytest.FixtureRequest, kind: str, source: Store, settings: Settings, data: DataSet, now: Instant
) -> None:
    store: Store = request.getfixturevalue(f"{kind}_store")
    report = import_events(
        source,
        DATA / data.file,
        FileMapping.model_validate(data.mapping),
        now=now,
        rejects=settings.var_dir / "rejects",
    )
    assert (report.read, report.added, report.rejected) == (data.purchases, data.purchases, 0)
    publish(store, now)
    clock = StoreClock(store)
    outbox = settings.var_dir / "outbox"
    setup = Setup(store, {"outbox": Outbox(outbox, clock=clock)}, clock, settings.var_dir / "spool")
    backtest(source, setup, ["lapsed-28d"], Period(data.first, data.last, UTC, run_at=(time(9),)))
    expected = expect(data)
    assert actual(store) == expected
    assert len(expected) > 2000, "real people, and many of them"
    assert messages(outbox) == expected_messages(data, expected)


Passage = tuple[str, date, str | None, date | None, date | None]  # user, entered, end, ended, came back


def actual(store: Store) -> list[Passage]:
    """What the engine did."""
    enrolments, users = schema.enrolments, schema.users
    rows = select(users.c.user_id, enrolments).join(users, users.c.id == enrolments.c.user_id)

    def day(instant: Instant | None) -> date | None:
        return None if instant is None else to_datetime(instant).date()

    with store.reading() as connection:
        return sorted(
            (row.user_id, day(row.entered_at), row.end_reason, day(row.ended_at), day(row.goal_at))
            for row in connection.execute(rows)
        )


def expect(data: DataSet) -> list[Passage]:
    """The same from purchase days alone: who is silent for 28 days enters; the third message ends it on day 14."""
    passages = []
    for user, days in data.purchase_days().groupby("user")["day"]:
        bought = sorted(days)
        for last, following in zip(bought, [*bought[1:], None], strict=True):
            entered = last + pd.Timedelta(days=28)
            silent = following is None or following > entered
            if silent and entered <= data.last:
                passages.append(passage(str(user), entered, following, data.last))
    return sorted(passages)


def passage(user: str, entered: date, following: date | None, last: date) -> Passage:
    finish = entered + pd.Timedelta(days=14)
    seen = following is not None and following <= last
    back = following if seen and following <= entered + pd.Timedelta(days=28) else None
    if back is not None and back <= finish:
        return (user, entered, "goal_reached", back, back)
    if seen and following is not None and following <= finish:
        return (user, entered, "goal_reached", following, None)
    return (user, entered, "finished", finish, back) if finish <= last else (user, entered, None, None, back)


def messages(outbox: Path) -> list[tuple[str, date]]:
    return sorted((accepted.user, to_datetime(accepted.at).date()) for accepted in accepted_log(outbox))


def expected_messages(data: DataSet, passages: list[Passage]) -> list[tuple[str, date]]:
    """Days 0, 7 and 14 of each passage, unless it ended before."""
    sent = []
    for user, entered, reason, ended, _ in passages:
        for day in (0, 7, 14):
            at = entered + pd.Timedelta(days=day)
            gone = reason == "goal_reached" and ended is not None and at >= ended
            if at <= data.last and not gone:
                sent.append((user, at))
    return sorted(sent)


def test_the_reference_counts_a_passage_as_the_engine_does() -> None:
    entered = date(1997, 3, 1)
    assert passage("a", entered, None, date(1998, 1, 1)) == ("a", entered, "finished", date(1997, 3, 15), None)
    assert passage("a", entered, date(1997, 3, 15), date(1998, 1, 1))[2] == "goal_reached"
    assert passage("a", entered, date(1997, 3, 16), date(1998, 1, 1))[2:] == (
        "finished",
        date(1997, 3, 15),
        date(1997, 3, 16),
    )
