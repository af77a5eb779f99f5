"""Which files does a new project begin with? The shipped journeys asked for, and texts that explain the rest."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from journeys.compile import compile_journey
from journeys.journey import Journey
from journeys.project import SHIPPED, Project, policy_names, shipped_project
from journeys.rules import OtherJourney
from journeys.steps import each_rule, rules_of
from recall.errors import Misconfigured


def files_of(journeys: Iterable[str]) -> dict[str, str]:
    """Path in the project -> text. Journeys bring those along that their rules speak of."""
    project = shipped_project()
    files: dict[str, str] = {}
    asked = list(journeys)
    wanted = list(asked)
    for name in wanted:  # grows on the way
        if name not in project.journeys:
            known = ", ".join(sorted(project.journeys))
            raise Misconfigured(f"no journey {name!r} comes with recall; there are: {known}")
        files |= _of_journey(project, name)
        wanted += sorted(_spoken_of(project.journeys[name].noun) - set(wanted))
    return files | {name: text.replace("{first}", asked[0]) for name, text in _TEXTS.items()}


def _spoken_of(journey: Journey) -> set[str]:
    """Other journeys that rules of this one name."""
    parts = [part for place, rule in rules_of(journey) for _, part in each_rule(rule, place)]
    return {part.journey for part in parts if isinstance(part, OtherJourney)} - {journey.id}


def _of_journey(project: Project, name: str) -> dict[str, str]:
    """The journey with everything it needs, as it is shipped."""
    journey = project.journeys[name].noun
    templates = {each: template.noun for each, template in project.templates.items()}
    program = compile_journey(journey, project.rules, templates)
    files = {f"journeys/{name}.yaml": SHIPPED / "catalogue" / f"{name}.yaml"}
    scenarios = SHIPPED / "catalogue" / f"{name}.scenarios.yaml"
    if scenarios.exists():
        files[f"journeys/{name}.scenarios.yaml"] = scenarios
    for folder, names in (
        ("templates", program.templates),
        ("policies", policy_names(journey)),
        ("segments", project.segments),
    ):
        files |= {f"{folder}/{each}.yaml": SHIPPED / folder / f"{each}.yaml" for each in names}
    return {path: _read(source) for path, source in files.items()}


def _read(source: Path) -> str:
    return source.read_text("utf-8")


_README = """\
# Journeys of ours

| folder | holds |
|---|---|
| `journeys/` | one file per journey; beside it `ID.scenarios.yaml` says what must happen to whom, when |
| `policies/` | what anybody may be sent at all: hours, caps, consents, routes, prices |
| `templates/` | the texts, per channel and language |
| `segments/` | rules with a name of their own, used as `{segment: borrowers}` |
| `mappings/` | which column of your files means what |
| `var/` | what recall writes (store, outbox, rejects); not in version control |

## Next steps

1. Write your name into `brand_name` of the policies. Have the policies read by your own counsel.
2. `recall journey lint` and `recall journey test`: is everything right, does it do what you expect?
3. `cp .env.example .env`, then `recall db migrate`: make the store.
4. `recall import suppressions FILE` (or `--none`), then `recall import users`, `consents` and `events`; begin with the
   files in `mappings/`: `recall import users users.csv --mapping mappings/users.yaml`
5. `recall journey publish --all`: workers execute published versions, never these files.
6. `recall run {first} --enrol`: lets people in and sends what is due. The policies route everything to `outbox`, which
   keeps messages in `var/outbox` and sends none; look at them before you name a real provider.
7. `recall explain USER`: why this person did, or did not, get a message.

Every verb explains itself: `recall VERB --help`. What comes with recall: `recall journey list --shipped`.
Completion while you type: `recall journey schema journey`.
"""

_ENV = """\
# Copy to .env and take out the # of what you need. Variables of the environment win over this file.
# RECALL_DATABASE_URL=postgresql://localhost/recall
# RECALL_MODE=live             # dry-run, rehearsal (everything but the call), test-recipients, live
# RECALL_TEST_RECIPIENTS=u-1001,u-1002
# RECALL_DEFAULT_REGION=CN     # country of phones written without a country code
# RECALL_ADDRESS_KEY=          # keys suppressions by; without it recall makes var/address.key: keep a copy of that
# RECALL_PUBLIC_URL=https://recall.example.com
# RECALL_LOG_LEVEL=INFO
"""

_GITIGNORE = """\
.env
/var/
"""

_SEGMENT = """\
# A rule with a name: write {segment: borrowers} wherever a rule may stand.
schema: recall.segment/v1
id: borrowers
title: Drew a loan at least once
rule: {did: loan_drawn}
"""

_USERS = """\
# recall import users users.csv --mapping mappings/users.yaml      our field: your column
schema: recall.mapping/v1
map: {user: customer_id, phone: mobile, email: mail, push: device_token, locale: language, jurisdiction: country}
set: {push_kind: fcm_token}
attributes: {overdue_days: overdue_days, frozen: is_frozen, fraud_review: in_fraud_review}
region: CN # country of phones written without a country code
zone: Asia/Shanghai # of times without a zone
"""

_EVENTS = """\
# recall import events settled.csv --mapping mappings/loans-settled.yaml
schema: recall.mapping/v1
map: {user: customer_id, at: settled_at, id: loan_id}
set: {name: loan_settled}
properties: {amount: amount}
source: loans # whose ids these are: importing a file twice adds nothing
zone: Asia/Shanghai
"""

_CONSENTS = """\
# recall import consents consents.csv --mapping mappings/consents.yaml
schema: recall.mapping/v1
map: {user: customer_id, channel: channel, granted: agreed, at: said_at, wording: text_version}
set: {purpose: marketing}
zone: Asia/Shanghai
"""

_SUPPRESSIONS = """\
# recall import suppressions stop.csv --mapping mappings/suppressions.yaml
schema: recall.mapping/v1
map: {phone: mobile}
set: {reason: opted_out}
region: CN
"""

_TEXTS = {
    "README.md": _README,
    ".env.example": _ENV,
    ".gitignore": _GITIGNORE,
    "segments/borrowers.yaml": _SEGMENT,
    "mappings/users.yaml": _USERS,
    "mappings/loans-settled.yaml": _EVENTS,
    "mappings/consents.yaml": _CONSENTS,
    "mappings/suppressions.yaml": _SUPPRESSIONS,
}
