"""What is the week in a few plain lines? For the terminal, and for who gets the page by e-mail and reads no HTML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recall.measure.horizon import local_time
from recall.measure.outcomes import Outcome
from recall.measure.page import shown
from recall.measure.review import Review
from recall.measure.words import Words


@dataclass(frozen=True)
class Mail:
    """The page as an e-mail."""

    subject: str
    text: str
    html: str
    lang: str


def headlines(review: Review, words: Words) -> list[str]:
    """One line per journey, the programme first."""
    return [_headline(outcome, words) for outcome in review.outcomes] or [words("no_journey")]


def _headline(outcome: Outcome, words: Words) -> str:
    name, found = words.name_of(outcome.name), outcome.comparison
    if outcome.is_blocked:
        return words("headline_blocked", name=name)
    if found.incremental is None:
        return words("headline_open", name=name, open=f"{outcome.open_people:,}")
    n = found.incremental
    verdict = words("too_small") if found.too_small else words(f"verdict.{found.verdict}")
    return words(
        "headline_result",
        name=name,
        n=f"{round(n.at):+,}",
        low=f"{round(n.low):,}",
        high=f"{round(n.high):,}",
        cost=_price(outcome, words),
        verdict=verdict,
    )


def _price(outcome: Outcome, words: Words) -> str:
    if not outcome.money.is_one_currency:
        return words("several_currencies")
    each = outcome.comparison.cost_per_incremental
    if each is None:
        return words("not_shown")
    ends = {"low": shown(each.low, "money"), "high": shown(each.high, "money")}
    return words("headline_cost", cost=shown(each.at, "money"), currency=outcome.money.currency, **ends)


def mail_of(review: Review, page: Path, lang: str) -> Mail:
    """The page that was written, as the HTML of an e-mail."""
    words = Words(lang)
    zone = review.outcomes[0].zone if review.outcomes else "UTC"
    subject = words("title", day=f"{local_time(review.now, zone):%Y-%m-%d}")
    text = "\n".join([subject, "", *headlines(review, words), "", words("mail_where", page=page.name)])
    return Mail(subject, text, page.read_text(encoding="utf-8"), lang)
