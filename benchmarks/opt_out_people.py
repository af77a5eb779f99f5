"""Who is written to in benchmarks/opt_out.py, and how is recall set up? Three groups of people, three journeys each."""

from __future__ import annotations

import json
import os
from pathlib import Path

import yaml

from journeys.project import load_project
from recall.clock import DAY, SLOT, SystemClock
from recall.engine.enrol import enrol
from recall.engine.publish import publish_project
from recall.settings import load
from recall.store.connect import open_store
from recall.store.consents import NewConsent, record_consents
from recall.store.events import NewEvent, record_events
from recall.store.fitness import record_fitness
from recall.store.migrations import migrate
from recall.store.people import NewAddress, NewUser, upsert_users
from recall.store.suppressions import declare_suppressions

ACCOUNT, TOKEN, SENDER = "AC" + "0" * 31 + "1", "an auth token", "+15005550006"
ADDRESS_KEY = "an address key of the benchmark"
CHANNELS = ("sms", "email", "call")
JOURNEYS = 3  # messages per person; the tripwire allows three to one address within an hour
SHARES = {"sms": 50, "email": 35, "call": 15}  # of people, percent
PER_SECOND = {"sms": 20, "email": 15, "call": 5}
PROVIDERS = {"sms": "twilio_sms", "email": "sendgrid_email", "call": "twilio_voice"}

_JOURNEY = """
schema: recall.journey/v1
id: {name}
title: One {channel}
policy: all-day
entry:
  anchor: loan_settled
  audience: {{attribute: way, is: {channel}}}
goal: {{event: loan_drawn, window: 28d}}
steps:
  - {{{channel}: words}}
"""
_WORDS = """
schema: recall.template/v1
id: words
sms: {zh-CN: {body: 【示例】欢迎回来。拒收请回复R}}
email: {zh-CN: {subject: 欢迎回来, body: "您好，退订：{{ opt_out_link }}"}}
call: {zh-CN: {body: 您好，这里是示例公司的自动语音来电。不再接听此类来电请按9。}}
"""


def _policy(rate: int) -> dict[str, object]:
    """Open all day, without caps: nothing but a stop shall stop anybody."""
    return {
        "schema": "recall.policy/v1",
        "id": "all-day",
        "title": "All day",
        "jurisdiction": "CN",
        "brand_name": "示例公司",
        "consent": {"purpose": "marketing", "basis": "a benchmark", "channels": list(CHANNELS)},
        "windows": dict.fromkeys(CHANNELS, "00:00-24:00"),
        "counts": list(CHANNELS),
        "opt_out": {"stop": ["STOP"]},
        "routes": {name: {"providers": [PROVIDERS[name]], "per_second": PER_SECOND[name] * rate} for name in CHANNELS},
        "prices": {"currency": "CNY"},
    }


def fill(database_url: str, folder: Path, people: int, rate: int) -> dict[str, list[str]]:
    """Make the store; returns the addresses of each group."""
    settings = load(project_dir=folder, database_url=database_url, address_key=ADDRESS_KEY)
    store = open_store(settings)
    now = SystemClock().now() // SLOT * SLOT  # on a slot: due now, not in the next quarter hour
    migrate(store.engine)
    _write(folder, rate)
    published = publish_project(store, load_project(folder), now=now, who="benchmark").new
    groups = {name: [_address(name, n) for n in range(people * SHARES[name] // 100)] for name in CHANNELS}
    users = [(f"{name}-{n}", name, each) for name, group in groups.items() for n, each in enumerate(group)]
    upsert_users(store, [_user(*user, now=now) for user in users], now)
    record_events(store, [NewEvent(f"e-{user}", user, "loan_settled", now - 40 * DAY) for user, _, _ in users], now)
    with store.writing() as connection:
        record_consents(connection, [NewConsent(user, way, "marketing", True, now - DAY) for user, way, _ in users])
        declare_suppressions(connection, "none", at=now)
        record_fitness(connection, providers=PROVIDERS.values(), wrong=[], at=now)  # no vendor here to ask
    for version in published:
        enrol(store, version, now=now)
    store.close()
    return groups


def _write(folder: Path, rate: int) -> None:
    for name in ("journeys", "policies", "templates"):
        (folder / name).mkdir()
    for channel in CHANNELS:
        for n in range(1, JOURNEYS + 1):
            name = f"{channel}-{n}"
            (folder / "journeys" / f"{name}.yaml").write_text(_JOURNEY.format(name=name, channel=channel))
    (folder / "templates" / "words.yaml").write_text(_WORDS)
    (folder / "policies" / "all-day.yaml").write_text(yaml.safe_dump(_policy(rate), allow_unicode=True))


def _address(way: str, n: int) -> str:
    return f"person{n}@example.com" if way == "email" else f"+86{'138' if way == 'sms' else '139'}{n:08d}"


def _user(user: str, way: str, address: str, *, now: int) -> NewUser:
    return NewUser(
        user,
        phone=None if way == "email" else NewAddress(address, region="CN"),
        email=NewAddress(address) if way == "email" else None,
        zones=("Asia/Shanghai",),
        locale="zh-CN",
        jurisdiction="CN",
        created_at=now - 400 * DAY,
        proved_at=now - DAY,
        attributes={"way": way},
    )


def environment_of(far: str, url: str, database_url: str) -> dict[str, str]:
    """What an operator sets; nothing of the person who runs this."""
    twilio = {"account_sid": ACCOUNT, "auth_token": TOKEN, "sender": SENDER, "base_url": far}
    sendgrid = {"api_key": "SG.key", "sender": "a@example.com", "base_url": far}
    providers = {"twilio_sms": twilio, "twilio_voice": {**twilio, "at_once": "64"}, "sendgrid_email": sendgrid}
    return {
        "PATH": os.defpath,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "RECALL_ADDRESS_KEY": ADDRESS_KEY,
        "RECALL_SIGNING_KEYS": "a signing key of the benchmark",
        "RECALL_PUBLIC_URL": url,
        "RECALL_DATABASE_URL": database_url,
        "RECALL_PROVIDER_OPTIONS": json.dumps(providers),
    }
