"""Does the page stand alone, and does it say what it must where it must?"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from providers.outbox import Outbox
from recall.clock import DAY, FixedClock, Instant
from recall.engine.setup import Setup
from recall.measure.review import write_review
from recall.settings import Settings
from recall.store.connect import Store
from tests.engine.conftest import Scene
from tests.measure.programme import HOLDOUT, no_programme, people


@pytest.fixture
def scene(sqlite_store: Store, settings: Settings, now: Instant) -> Scene:
    clock, outbox = FixedClock(now), settings.var_dir / "outbox"
    setup = Setup(sqlite_store, {"outbox": Outbox(outbox, clock=clock)}, clock, settings.var_dir)
    return Scene(sqlite_store, clock, setup, outbox)


@pytest.fixture
def page(scene: Scene, tmp_path: Path) -> Path:
    version = scene.publish(more=HOLDOUT, policy=no_programme)
    people(scene, version, treated=400, held_out=100, back=120, back_held_out=10)
    scene.later(50 * DAY)
    return written(scene, tmp_path)


def written(scene: Scene, folder: Path) -> Path:
    return write_review(scene.store, folder / "week.html", now=scene.now, lang="en")


def section(html: str, name: str) -> str:
    """The text of one section, without its charts and marks."""
    found = re.search(rf'<section id="{name}">(.*?)</section>', html, re.DOTALL)
    assert found is not None
    return re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>|<[^>]+>", " ", found[1], flags=re.DOTALL))


def table(page: Path, name: str) -> list[dict[str, str]]:
    with (page.with_name("week-tables") / f"{name}.csv").open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_the_page_stands_alone_and_keeps_its_order(page: Path):
    html = page.read_text()
    order = re.findall(r'<section id="([a-z]+)"', html)
    assert order == [
        "health", "headline", "funnel", "lifecycle", "steps", "contacts", "cohorts", "tests", "retention",
        "guardrails", "decisions", "definitions",
    ]  # fmt: skip
    assert not re.search(r"<script|<link|@import|<img|url\(['\"]?http|(src|href)=\"(https?:)?//", html)
    assert html.count("<svg") >= 5


def test_every_link_of_the_page_leads_somewhere(page: Path):
    html = page.read_text()
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert set(re.findall(r'<a href="#([^"]+)"', html)) <= set(ids)
    assert len([name for name in ids if name.startswith("def-")]) == len({n for n in ids if n.startswith("def-")})
    assert "SELECT" in html


def test_every_table_is_written_beside_the_page(page: Path):
    folder = page.with_name("week-tables")
    with (folder / "lift.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    assert rows[1][:4] == ["settled-30d", "400", "120", "0.3"]
    assert len(list(folder.glob("*.csv"))) >= 12


def test_a_store_without_journeys_has_a_page_too(scene: Scene, tmp_path: Path):
    html = write_review(scene.store, tmp_path / "empty.html", now=scene.now, lang="zh-CN").read_text()
    assert 'lang="zh-CN"' in html


# --- what must stand where ----------------------------------------------------------------------------------


def test_a_lost_part_of_the_holdout_stands_before_the_result_and_instead_of_it(scene: Scene, tmp_path: Path):
    version = scene.publish(more=HOLDOUT, policy=no_programme)
    people(scene, version, treated=400, held_out=40, back=120, back_held_out=20)
    scene.later(50 * DAY)
    html = written(scene, tmp_path).read_text()
    assert "Somebody got lost" in section(html, "health")
    assert html.index("Somebody got lost") < html.index('<section id="headline">')
    assert "no result is shown while its sample ratio is blocked" in section(html, "headline")
    for name in ("headline", "cohorts", "tests", "retention"):
        assert not re.search(r"[+-]\d+\.\d+ pp", section(html, name).split("Least lift")[0]), name
    assert "find out who got lost before anything else" in section(html, "decisions")


def test_a_handful_is_too_small_to_tell_and_not_shown_to_recall_anyone(scene: Scene, tmp_path: Path):
    version = scene.publish(more=HOLDOUT, policy=no_programme)
    people(scene, version, treated=40, held_out=10, back=12, back_held_out=1)
    scene.later(50 * DAY)
    page = written(scene, tmp_path)
    html = page.read_text()
    assert section(html, "headline").count("too small to tell") == 2
    assert section(html, "headline").count("not shown to recall anyone") == 2
    assert "not shown" in section(html, "headline").split("Share of attributed that is incremental")[1]
    assert "A fifth more than would come anyway needs" in section(html, "decisions")
    assert [row["Incremental value"] for row in table(page, "value")] == [""]  # one goal held out bears no interval


def test_enough_people_show_what_one_recall_costs(page: Path):
    headline = section(page.read_text(), "headline")
    assert "not shown" not in headline
    assert re.search(r"Cost per incremental recall \d+\.\d\d CNY 95 %: \d", headline)


def test_open_windows_are_grey_and_left_out(scene: Scene, tmp_path: Path):
    version = scene.publish(more=HOLDOUT, policy=no_programme)
    people(scene, version, treated=40, held_out=10, back=12, back_held_out=1)
    scene.later(14 * DAY)
    page = written(scene, tmp_path)
    html = page.read_text()
    assert re.search(r'<td class="[^"]*open[^"]*">.*?>50</a></td>', html)
    assert [(row["Windows closed"], row["Windows open"]) for row in table(page, "assigned")] == [("0", "50")]
    assert "nobody's time to come back is over yet" in section(html, "headline").replace("&#39;", "'")
    assert "wait. No comparison is possible" in section(html, "decisions")


def test_attributed_counts_are_labelled_wherever_they_stand(page: Path):
    html = page.read_text()
    assert "which include those who would have come anyway" in section(html, "headline")
    assert "secondary attributed counts" in section(html, "headline")
    assert "Attributed recalls are secondary" in section(html, "headline")
    assert "last touch" in section(html, "steps")
    assert "and loses (attributed)" in section(html, "contacts")
    titles = [row for row in table(page, "value")[0] if "ttributed" in row]
    assert titles == ["Attributed (any message before)", "Attributed (click, 5 days)", "Cost per attributed"]
