"""Does the page look right where it is read? In a real browser, at the width of a desk and of a phone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pytest

from providers.outbox import Outbox
from recall.clock import DAY, FixedClock, Instant
from recall.engine.setup import Setup
from recall.measure.review import write_review
from recall.settings import Settings
from recall.store.connect import Store
from tests.engine.conftest import Scene
from tests.measure.programme import HOLDOUT, no_programme, people

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine; CI installs one"),
]

# A headless window is at least 500 px wide, so the page is looked at in a frame. What a person would see: anything
# wider than the frame, a chart without anything drawn, text that leaves its chart, letters too small to read.
FRAME = """<!doctype html>
<iframe style="border:0;width:{width}px;height:2000px" srcdoc="{page}"></iframe>
<pre id="seen"></pre>
<script>
addEventListener("load", () => {{
  const view = document.querySelector("iframe").contentWindow, page = view.document;
  const seen = {{wide: [], outside: [], small: [], charts: 0, empty: 0, width: view.innerWidth}};
  const root = page.documentElement;
  if (root.scrollWidth > root.clientWidth) seen.wide.push("page " + root.scrollWidth);
  for (const each of page.querySelectorAll("h1,h2,h3,h4,p,.figure,.figure b,figure,.wide")) {{
    if (each.getBoundingClientRect().right > root.clientWidth + 1) seen.wide.push(each.textContent.slice(0, 40));
  }}
  for (const chart of page.querySelectorAll("svg.chart")) {{
    const frame = chart.getBoundingClientRect(), scale = frame.width / chart.viewBox.baseVal.width;
    seen.charts += 1;
    if (chart.querySelectorAll("path").length < 12) seen.empty += 1;
    for (const text of chart.querySelectorAll("text")) {{
      const box = text.getBoundingClientRect(), size = scale * parseFloat(view.getComputedStyle(text).fontSize);
      if (box.left < frame.left - 2 || box.right > frame.right + 2) seen.outside.push(text.textContent);
      if (size < 9.5) seen.small.push(text.textContent + " " + size.toFixed(1));
    }}
  }}
  document.querySelector("pre").textContent = JSON.stringify(seen);
}});
</script>
"""


@pytest.fixture
def scene(sqlite_store: Store, settings: Settings, now: Instant) -> Scene:
    clock, outbox = FixedClock(now), settings.var_dir / "outbox"
    setup = Setup(sqlite_store, {"outbox": Outbox(outbox, clock=clock)}, clock, settings.var_dir)
    scene = Scene(sqlite_store, clock, setup, outbox)
    long = scene.publish(name="settled-and-not-borrowed-again-30d", more=HOLDOUT, policy=no_programme)
    short = scene.publish(name="short", more=HOLDOUT, policy=no_programme)
    for _ in range(9):
        people(scene, long, treated=80, held_out=20, back=24, back_held_out=2)
        people(scene, short, treated=8, held_out=2, back=1, back_held_out=0, prefix="s")
        scene.later(7 * DAY)
    return scene


@pytest.mark.parametrize("lang", ["en", "zh-CN"])
def test_nothing_is_cut_off_or_too_small_at_desk_and_phone(scene: Scene, tmp_path: Path, lang: str):
    page = write_review(scene.store, tmp_path / "week.html", now=scene.now, lang=lang).read_text()
    for width in (1280, 390):
        seen = look(page, width, tmp_path)
        assert seen["width"] == width
        assert (seen["wide"], seen["outside"], seen["small"], seen["empty"]) == ([], [], [], 0)
        assert seen["charts"] >= 9


def look(page: str, width: int, home: Path) -> Any:
    """What the script above saw at this width."""
    frame = home / f"frame-{width}.html"
    frame.write_text(FRAME.format(width=width, page=escape(page, quote=True)))
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1400,2200",
        f"--user-data-dir={home / 'chromium'}", "--dump-dom", frame.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None
    return json.loads(unescape(found[1]))
