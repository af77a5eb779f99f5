"""What does a test of the web door start from? A scene, a vendor double, and a browser without a network."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select

from journeys.words import AddressKind, Channel, ReceiptKind
from providers.base import Address, ProviderEvent, RawRequest
from providers.outbox import Outbox
from recall.clock import FixedClock, Instant
from recall.engine.setup import Setup
from recall.errors import WebhookRejected
from recall.settings import Settings
from recall.store import schema
from recall.store.connect import Store
from recall.store.tokens import Doors
from recall.web.app import create_app
from recall.web.context import Web
from recall.web.signatures import sign
from tests.engine.conftest import Scene

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # starlette would rather have httpx2, which nothing else here needs
    from starlette.testclient import TestClient

PUBLIC = "https://recall.example.com"
KEY = "a signing key of the tests"
API_SECRET = "a secret of the host system"
BROWSER = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Safari/604.1"


class Vendor(Outbox):
    """An outbox whose vendor calls back: JSON events, signed with one word."""

    hook_answer = '{"code":0}'

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.seen: list[RawRequest] = []

    def read_events(self, request: RawRequest) -> list[ProviderEvent]:
        self.seen.append(request)
        if request.headers.get("x-vendor-signature") != "genuine":
            raise WebhookRejected("bad signature")
        return [_event(told) for told in json.loads(request.body)]

    def greet(self, request: RawRequest, *, ref: str, text: str, locale: str, answer_url: str) -> str:
        self.read_events(RawRequest(request.method, request.url, request.headers, b"[]"))
        return f"<Response><Say>{text}</Say><Gather action='{answer_url}'/></Response>"

    def answer(self, request: RawRequest, *, ref: str, locale: str) -> tuple[str, Sequence[ProviderEvent]]:
        return "<Response/>", self.read_events(request)


def _event(told: dict[str, Any]) -> ProviderEvent:
    channel = Channel(told["channel"]) if "channel" in told else None
    address = Address(AddressKind(told.get("address_kind", "phone")), told["from"]) if "from" in told else None
    kind = ReceiptKind(told["kind"])
    return ProviderEvent(told["id"], told.get("ref", ""), kind, told["at"], told.get("detail", ""), channel, address)


@dataclass
class Door:
    """The web door of a scene."""

    scene: Scene
    client: TestClient
    web: Web
    vendor: Vendor
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    @property
    def doors(self) -> Doors:
        return self.web.doors

    def path(self, url: str) -> str:
        return url.removeprefix(PUBLIC)

    def event(self, kind: str = "delivered", **about: Any) -> dict[str, Any]:
        return {"id": f"e{next(self.numbers)}", "kind": kind, "at": self.scene.now, **about}

    def tell(self, *events: dict[str, Any], path: str = "/hooks/outbox", signature: str = "genuine") -> Any:
        """What the vendor posts."""
        return self.client.post(path, content=json.dumps(events), headers={"x-vendor-signature": signature})

    def reply(self, text: str, *, sender: str, at: Instant | None = None, **about: Any) -> Any:
        said = self.event("answered", detail=text, channel="sms", **{"from": sender}, **about)
        return self.tell({**said, "at": self.scene.now if at is None else at})

    def post(self, path: str, body: Any, *, key: str = "host", secret: str = API_SECRET, **change: Any) -> Any:
        """What the host's system posts, signed."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        stamp = str(change.pop("timestamp", self.web.wall.now() // 1_000_000))
        headers = {
            "x-recall-key": key,
            "x-recall-timestamp": stamp,
            "x-recall-signature": sign(secret, stamp, "POST", path, content),
        }
        return self.client.post(path, content=content, headers={**headers, **change})

    def rows(self, table: Any) -> list[Any]:
        with self.scene.store.reading() as connection:
            return list(connection.execute(select(table).order_by(*table.primary_key.columns)))

    def receipts(self) -> list[tuple[str, str, str]]:
        return [(row.ref, row.kind, row.detail) for row in self.rows(schema.receipts)]

    def opted_out(self, user: str) -> int:
        """The channels nobody may use at this user's phone, as the gate reads them."""
        phone = self.scene.row(user).phone_id
        return next(row.opted_out for row in self.rows(schema.addresses) if row.id == phone)


def routes_of(door: Door) -> list[tuple[str, str]]:
    """Path and method of every route."""
    described = door.client.app.openapi()["paths"]  # type: ignore[attr-defined]
    told = [(path, method.upper()) for path, methods in described.items() for method in methods]
    return [*told, ("/hooks/{provider}", "POST"), ("/hooks/{provider}/{token}", "POST")]  # plain routes, not described


OpenDoor = Callable[..., Door]


@pytest.fixture
def web_settings(settings: Settings) -> Settings:
    """Settings under which the web door may be opened."""
    return type(settings)(
        **{
            **settings.model_dump(),
            "public_url": PUBLIC,
            "signing_keys": [KEY],
            "web_api_keys": {"host": API_SECRET},
            "link_hosts": ["shop.example.com"],
            "app_scheme": "example",
            "store_url_ios": "https://apps.example.com/ios",
            "store_url_android": "https://apps.example.com/android",
        }
    )


def open_door(store: Store, settings: Settings, now: Instant) -> Door:
    clock = FixedClock(now)
    vendor = Vendor(settings.var_dir / "outbox", clock=clock)
    setup = Setup(store, {"outbox": vendor}, clock, settings.var_dir / "spool")
    scene = Scene(store, clock, setup, settings.var_dir / "outbox")
    app = create_app(setup, settings)
    client = TestClient(
        app,
        base_url="http://somewhere-else",
        follow_redirects=False,
        raise_server_exceptions=True,
        client=("127.0.0.1", 1),
    )
    client.headers["user-agent"] = BROWSER
    return Door(scene, client, app.state.web, vendor)


@pytest.fixture
def door(store: Store, web_settings: Settings, now: Instant) -> Door:
    """The door on SQLite and on PostgreSQL."""
    return open_door(store, web_settings, now)


@pytest.fixture
def small_door(sqlite_store: Store, web_settings: Settings, now: Instant) -> Door:
    """The door on SQLite, where the store makes no difference."""
    return open_door(sqlite_store, web_settings, now)
