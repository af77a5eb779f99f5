"""Are the examples of the docs files that recall reads?"""

from __future__ import annotations

import re

from journeys.loader import read_journey
from journeys.project import SHIPPED
from journeys.scenarios import read_scenarios
from journeys.templates import check_texts, read_template

PAGE = (SHIPPED.parent / "docs" / "adding-a-journey.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def example(schema: str) -> bytes:
    (found,) = [text for text in EXAMPLES if text.startswith(f"schema: {schema}")]
    return found.encode()


def test_the_smallest_journey_of_the_docs_is_the_shipped_one():
    assert example("recall.journey/v1") == (SHIPPED / "catalogue" / "settled-30d.yaml").read_bytes()


def test_the_steps_of_the_docs_are_read():
    (steps,) = [text for text in EXAMPLES if text.startswith("- {push: TEMPLATE}")]
    head = example("recall.journey/v1").decode()
    head = head[: head.index("steps:")] + "steps:\n"
    assert len(read_journey((head + steps.replace("TEMPLATE", "come-back")).encode(), "docs").noun.steps) == 8


def test_the_template_of_the_docs_is_read():
    assert check_texts(read_template(example("recall.template/v1"), "docs")) == []


def test_the_scenarios_of_the_docs_are_read():
    assert read_scenarios(example("recall.scenarios/v1"), "docs").noun.journey == "settled-30d"
