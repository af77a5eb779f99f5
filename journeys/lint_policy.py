"""What in a policy file cannot be meant? Asked by `recall journey lint` for every policy of a project."""

from __future__ import annotations

from collections.abc import Iterator

from journeys.calendars import is_calendar
from journeys.loader import Loaded
from journeys.policy import DayWindows, Policy
from journeys.words import ADDRESS_OF, AddressKind
from recall.errors import Problem

# Brand names that only stand in the shipped policies until somebody writes their own.
EXAMPLE_BRANDS = ("示例金融", "Example Credit")


def lint_policy(policy: Loaded[Policy]) -> list[Problem]:
    """Every error and warning of one policy."""
    return [
        *_windows(policy),
        *_routes(policy),
        *_limits(policy),
        *_opt_out(policy),
        *_calendar(policy),
        *_brand(policy),
    ]


def never_open(days: DayWindows) -> bool:
    """Is there no type of day with an open minute?"""
    return not (days.workday or days.weekend or days.holiday)


def _windows(policy: Loaded[Policy]) -> Iterator[Problem]:
    for channel, days in policy.noun.windows.items():
        if never_open(days):
            yield policy.problem(f"{channel} is never open", f"write {channel}: 09:00-20:00", "windows", channel)


def _routes(policy: Loaded[Policy]) -> Iterator[Problem]:
    noun = policy.noun
    for channel in noun.windows:
        if channel not in noun.routes:
            hint = f"add routes: {{{channel}: {{providers: [outbox]}}}}, or drop its window"
            yield policy.problem(f"{channel} has a window and no route", hint, "windows", channel)
    for channel, route in noun.routes.items():
        if channel not in noun.windows:
            hint = f"add windows: {{{channel}: 09:00-20:00}}, or drop its route"
            yield policy.problem(f"{channel} has a route and no window", hint, "routes", channel)
        if not route.per_second:
            place = ("routes", channel, "per_second")
            yield policy.problem("nothing may leave at 0 per second", "write what the sender takes, such as 10", *place)


def _limits(policy: Loaded[Policy]) -> Iterator[Problem]:
    noun = policy.noun
    if noun.holdout >= 100:
        yield policy.problem("everybody is held out", "write a smaller share, such as holdout: 5", "holdout")
    if noun.budget_per_day == 0:
        yield policy.problem("a budget of 0 sends nothing", "write an amount or leave it out", "budget_per_day")
    for n, cap in enumerate(noun.caps):
        if cap.channel and cap.channel not in noun.counts:
            hint = f"add {cap.channel} to counts, or drop the cap"
            yield policy.problem(f"{cap.channel} does not count to caps", hint, "caps", n, "channel")
    rule = noun.unresponsive
    if rule and rule.permanent_after == 0:
        yield policy.problem("0 rests would be for good at once", "write such as 2", "unresponsive", "permanent_after")


def _opt_out(policy: Loaded[Policy]) -> Iterator[Problem]:
    noun = policy.noun
    if not noun.opt_out.stop:
        yield policy.problem("nobody can say stop", "write stop: [STOP, T]", "opt_out", "stop")
    both = {word.upper() for word in noun.opt_out.stop} & {word.upper() for word in noun.opt_out.start}
    for word in sorted(both):
        yield policy.problem(f"{word} means both stop and start", "keep it in one list", "opt_out", "start")
    for channel in noun.windows:
        if ADDRESS_OF[channel] in (AddressKind.PHONE, AddressKind.EMAIL) and channel not in noun.opt_out_text:
            hint = f"add opt_out_text: {{{channel}: [Reply STOP to opt out]}}"
            yield policy.problem(
                f"no opt-out text is required of {channel}", hint, "opt_out_text", channel, severity="warning"
            )


def _calendar(policy: Loaded[Policy]) -> Iterator[Problem]:
    code = policy.noun.calendar
    if code and not is_calendar(code):
        yield policy.problem(f"there is no holiday calendar {code}", "write a country such as CN, US, DE", "calendar")


def _brand(policy: Loaded[Policy]) -> Iterator[Problem]:
    if policy.noun.brand_name in EXAMPLE_BRANDS:
        hint = "put the policy into your project and write your own brand_name"
        yield policy.problem("the brand is still the example's", hint, "brand_name", severity="warning")
