"""Would the vendors behind the routes take these texts? What `http_gateway` would refuse, lint says before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from recall.errors import BadFile, Misconfigured, Problem

if TYPE_CHECKING:
    from journeys.journey import Journey, Message
    from journeys.policy import Policy
    from journeys.project import Project
    from providers.gateway_profile import Profile
    from recall.cli.context import App

_BRAND = re.compile(r"\{\{\s*brand\s*\}\}")
_VALUE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_TAG = re.compile(r"\{%.*?%\}", re.DOTALL)
_WORDS = {
    "text_too_long": ("is longer than {profile} allows", "shorten it"),
    "text_brand_not_first": ("does not begin with the brand, once", "begin with 【{{{{ brand }}}}】, and only there"),
    "text_opt_out_missing": ("does not end as {profile} wants", "end with one of: {ends}"),
    "text_forbidden_sign": ("holds a sign that {profile} forbids", "leave out {forbidden}"),
}


def gateway_problems(app: App, project: Project) -> list[Problem]:
    """Texts no gateway in use would take: an error where everybody gets them, else a warning."""
    profiles = _profiles(app)
    if not profiles:
        return []
    found = [
        problem
        for journey in project.journeys.values()
        for policy in _policies(journey.noun, project)
        for message in _messages(journey.noun)
        for problem in _problems(message, policy, project, profiles)
    ]
    return list(dict.fromkeys(found))


def _profiles(app: App) -> dict[str, Profile]:
    """The gateway profile behind each provider that has one; what cannot be read is `recall doctor`'s to tell."""
    from providers.gateway_profile import find_profile

    found = {}
    for name, options in app.settings.provider_options.items():
        if options.get("kind", name) == "http_gateway" and "profile" in options:
            try:
                found[name] = find_profile(options["profile"], app.settings.project_dir)
            except (BadFile, Misconfigured):
                continue
    return found


def _policies(journey: Journey, project: Project) -> list[Policy]:
    from journeys.lint import cases

    return [policy for _, policy in cases(journey, {name: each.noun for name, each in project.policies.items()})]


def _messages(journey: Journey) -> Iterator[Message]:
    from journeys.journey import Message
    from journeys.steps import each_step

    return (step for _, step in each_step(journey.steps) if isinstance(step, Message))


def _problems(message: Message, policy: Policy, project: Project, profiles: dict[str, Profile]) -> Iterator[Problem]:
    from providers.http_gateway import text_problem

    template, route = project.templates.get(message.template), policy.routes.get(message.channel)
    if template is None or route is None:
        return
    for name in route.providers:
        profile = profiles.get(name)
        for n, (locale, text) in enumerate(template.noun.texts(message.channel).items()):
            code = text_problem(profile, _filled(text.parts()["body"], policy)) if profile is not None else ""
            if profile is not None and code:
                what, hint = (words.format(**_names(profile)) for words in _WORDS[code])
                said = f"the {locale} text for {message.channel} {what} (provider {name}, policy {policy.id})"
                file = f"templates/{message.template}.yaml"
                yield Problem(file, None, said, hint, f"{message.channel}.{locale}", "warning" if n else "error")


def _names(profile: Profile) -> dict[str, str]:
    rules = profile.texts
    return {"profile": profile.id, "ends": "; ".join(rules.ends_with), "forbidden": " ".join(rules.forbidden)}


def _filled(source: str, policy: Policy) -> str:
    """The text as a person gets it, other values ten characters each."""
    return _VALUE.sub("x" * 10, _TAG.sub("", _BRAND.sub(policy.brand_name or "", source)))
