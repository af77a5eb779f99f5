"""In which order is the week told? Health before headline, and decisions last; the order is part of being honest."""

from __future__ import annotations

from recall.measure.horizon import local_time
from recall.measure.page import Page
from recall.measure.review import Review
from recall.measure.sections.cohorts import cohorts_section
from recall.measure.sections.contacts import contacts_section
from recall.measure.sections.decisions import decisions_section
from recall.measure.sections.experiments import experiments_section
from recall.measure.sections.funnel import funnel_section
from recall.measure.sections.guardrails import guardrails_section
from recall.measure.sections.headline import headline_section
from recall.measure.sections.health import health_section
from recall.measure.sections.lifecycle import lifecycle_section
from recall.measure.sections.retention import retention_section
from recall.measure.sections.steps import steps_section
from recall.measure.words import Words


def page_of(review: Review, words: Words) -> Page:
    """The weekly page."""
    sections = [
        health_section(review, words),
        headline_section(review, words),
        funnel_section(review, words),
        lifecycle_section(review, words),
        steps_section(review, words),
        contacts_section(review, words),
        cohorts_section(review, words),
        experiments_section(review, words),
        retention_section(review, words),
        guardrails_section(review, words),
        decisions_section(review, words),
    ]
    zone = review.outcomes[0].zone if review.outcomes else "UTC"
    moment = local_time(review.now, zone)
    lines = [words("as_of", at=f"{moment:%Y-%m-%d %H:%M}", zone=zone), words("how_to_read")]
    return Page(words("title", day=f"{moment:%Y-%m-%d}"), lines, sections, review.queries, words)
