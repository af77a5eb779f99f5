"""Can each message of a journey be written and sent at all? Templates, channels, windows, links, opt-out texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from journeys.journey import Journey, Message, Wait
from journeys.loader import Loaded
from journeys.policy import DayWindows, Policy
from journeys.problems import did_you_mean
from journeys.spans import Span
from journeys.steps import Place, each_step
from journeys.template_syntax import names_in
from journeys.templates import Template
from journeys.values import clock_text
from journeys.windows import common_spans
from journeys.words import Channel
from recall.errors import Misconfigured, Problem

MAX_SEGMENTS = 10
_VALUE_LENGTH = 10  # characters a value is reckoned with
_TAG = re.compile(r"{%.*?%}|{#.*?#}", re.DOTALL)
_VALUE = re.compile(r"{{.*?}}", re.DOTALL)
_LINK = re.compile(
    r"https://[^\s/]+\.[^\s/]+\S*|(?!(?:http|https|javascript|data|file|vbscript):)[a-z][a-z0-9+.-]*://\S+"
)


def lint_messages(
    journey: Loaded[Journey], policies: Sequence[Policy], templates: Mapping[str, Template]
) -> Iterator[Problem]:
    """Every error and warning about the messages of a journey under the policies it may come under."""
    used: set[Channel] = set()
    steps = dict(each_step(journey.noun.steps))
    for place, step in steps.items():
        if isinstance(step, Message):
            used.add(step.channel)
            yield from _message(journey, step, place, policies, templates)
        elif isinstance(step, Wait) and step.next:
            following = steps.get((*place[:-1], int(place[-1]) + 1))
            if isinstance(following, Message):
                yield from _weekday(journey, step.next, (*place, "wait", "next"), policies, following.channel)
    for channel in journey.noun.window or {}:
        yield from _window(journey, channel, policies, used)


def _message(
    journey: Loaded[Journey],
    message: Message,
    place: Place,
    policies: Sequence[Policy],
    templates: Mapping[str, Template],
) -> Iterator[Problem]:
    channel = message.channel
    for policy in policies:
        if channel not in policy.windows or channel not in policy.routes:
            what = "window" if channel not in policy.windows else "route"
            hint = f"add one under {what}s, or use one of: {', '.join(policy.routes)}"
            yield journey.problem(f"{policy.id} gives {channel} no {what}", hint, *place, channel)
    if message.link is not None and not _LINK.fullmatch(message.link):
        hint = "write an https:// address or a deep link of the app, such as example://loan"
        yield journey.problem(f"{message.link!r} is not a link that can be sent", hint, *place, "link")
    template = templates.get(message.template)
    if template is None:
        known = did_you_mean(message.template, list(templates)) if templates else "write one"
        hint = f"{known} (templates/{message.template}.yaml is missing)"
        yield journey.problem(f"there is no template {message.template}", hint, *place, channel)
    elif not template.texts(channel):
        yield journey.problem(
            f"template {template.id} has no text for {channel}", f"add `{channel}:` to it", *place, channel
        )
    else:
        yield from _texts(journey, message, template, (*place, channel), policies)


def _texts(
    journey: Loaded[Journey], message: Message, template: Template, place: Place, policies: Sequence[Policy]
) -> Iterator[Problem]:
    channel, texts = message.channel, template.texts(message.channel)
    elsewhere = {locale for other in template.channels for locale in template.texts(other)}
    for locale in sorted(elsewhere - set(texts)):
        hint = f"add {channel}: {{{locale}: …}}; until then they get the first language"
        yield journey.problem(
            f"template {template.id} has no {locale} text for {channel}", hint, *place, severity="warning"
        )
    for locale, text in texts.items():
        parts = text.parts()
        yield from _values(journey, message, template, parts, place, policies)
        for policy in policies:
            yield from _opt_out_text(journey, channel, template, locale, parts, place, policy)
        if channel is Channel.SMS and count_segments(parts["body"]) > MAX_SEGMENTS:
            name = f"the {locale} text of template {template.id}"
            yield journey.problem(f"{name} is longer than {MAX_SEGMENTS} SMS segments", "shorten it", *place)


def _values(
    journey: Loaded[Journey],
    message: Message,
    template: Template,
    parts: Mapping[str, str],
    place: Place,
    policies: Sequence[Policy],
) -> Iterator[Problem]:
    try:
        names = frozenset[str]().union(*map(names_in, parts.values()))
    except Misconfigured:
        return  # told at the template
    if "link" in names and not message.link:
        yield journey.problem(
            f"template {template.id} needs {{{{ link }}}} and this step has none", "add link: https://…", *place
        )
    if "link" not in names and message.link and message.channel in (Channel.SMS, Channel.EMAIL):
        hint = "put {{ link }} into its text"
        yield journey.problem(f"template {template.id} does not show the link", hint, *place, severity="warning")
    for policy in policies:
        if "brand" in names and not policy.brand_name:
            hint = f"add brand_name to {policy.id}"
            yield journey.problem(f"template {template.id} needs {{{{ brand }}}}", hint, *place)


def _opt_out_text(
    journey: Loaded[Journey],
    channel: Channel,
    template: Template,
    locale: str,
    parts: Mapping[str, str],
    place: Place,
    policy: Policy,
) -> Iterator[Problem]:
    required = policy.opt_out_text.get(channel, ())
    for part in ("body", "html"):
        if required and part in parts and not any(text in parts[part] for text in required):
            hint = f"put one of these into it: {'; '.join(required)}"
            yield journey.problem(f"the {locale} {part} of template {template.id} has no opt-out text", hint, *place)


def count_segments(source: str) -> int:
    """SMS segments of a text whose values are ten characters each."""
    import smsutil

    return len(smsutil.split(_VALUE.sub("x" * _VALUE_LENGTH, _TAG.sub("", source))).parts)


# --- windows --------------------------------------------------------------------------------------------


def _window(
    journey: Loaded[Journey], channel: Channel, policies: Sequence[Policy], used: set[Channel]
) -> Iterator[Problem]:
    stricter = (journey.noun.window or {})[channel]
    if channel not in used:
        yield journey.problem(f"no step sends {channel}", "drop its window", "window", channel, severity="warning")
    if not stricter:
        yield journey.problem(f"{channel} is never open", f"write {channel}: 09:00-20:00", "window", channel)
        return
    for policy in policies:
        days = policy.windows.get(channel)
        if days and not any(common_spans(spans, stricter) for spans in _by_day(days)):
            hint = f"stay within {_shown(days)}"
            yield journey.problem(f"this is wholly outside the window of {policy.id}", hint, "window", channel)
        elif days and not common_spans(days.workday, stricter):
            yield journey.problem(
                f"{channel} is closed on workdays", f"stay within {_shown(days)}", "window", channel, severity="warning"
            )


def _by_day(days: DayWindows) -> tuple[tuple[Span, ...], ...]:
    return days.workday, days.weekend, days.holiday


def _shown(days: DayWindows) -> str:
    spans = dict.fromkeys(span for spans in _by_day(days) for span in spans)
    return ", ".join(f"{clock_text(start)}-{clock_text(end)}" for start, end in spans)


def _weekday(
    journey: Loaded[Journey], text: str, place: Place, policies: Sequence[Policy], channel: Channel
) -> Iterator[Problem]:
    """A wait for `thu 22:00` would only ever be followed by a wait for the morning."""
    day, _, clock = text.partition(" ")
    minute = int(clock[:2]) * 60 + int(clock[3:])
    for policy in policies:
        days = policy.windows.get(channel)
        spans = () if days is None else days.weekend if day in ("sat", "sun") else days.workday
        if days and not common_spans(spans, ((minute, minute + 1),)):
            message = f"{channel} is closed at {text} under {policy.id}"
            yield journey.problem(message, f"choose an hour within {_shown(days)}", *place, severity="warning")
