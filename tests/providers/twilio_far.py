"""Twilio on the loopback: takes messages and calls, keeps its log, lists it, and signs webhooks as Twilio does."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from multidict import MultiDict
from twilio.request_validator import RequestValidator

from journeys.words import AddressKind, Channel
from providers.base import Address, Content, Outbound, RawRequest
from providers.faults import Fail
from recall.clock import DAY, FixedClock, to_datetime
from tests.providers import vendor as far
from tests.providers.vendor import Reply, Seen, Vendor

NOW = 1_772_416_800_000_000  # 2026-03-02 02:00 UTC
ACCOUNT = "AC" + "0" * 31 + "1"
TOKEN = "12345"
SENDER = "+15005550006"
SERVICE = "MG" + "0" * 32
DEAD = "+8613900009999"
STOPPED = "+8613900008888"
PAYLOADS = Path(__file__).parent / "payloads" / "twilio"


class TwilioFar:
    def __init__(self, clock: FixedClock) -> None:
        self.clock = clock
        self.log: list[dict[str, object]] = []  # accepted messages and calls, oldest first
        self.status = "active"
        self.balance = "12.50"
        self.vendor = Vendor(self._answer)

    def options(self, **more: str) -> dict[str, str]:
        urls = {"base_url": self.vendor.url, "messaging_url": self.vendor.url}
        return {"account_sid": ACCOUNT, "auth_token": TOKEN, "sender": SENDER, **urls, **more}

    def accepted(self) -> list[str]:
        return [str(row["ref"]) for row in self.log]

    def break_it(self, fail: Fail | None) -> None:
        self.vendor.break_with(
            fail, unsent=far.throttle(7, error(20429, 429)), config=far.reply(401, error(20003, 401))
        )

    def take(self, seen: Seen, prefix: str) -> dict[str, object]:
        form = {name: values[0] for name, values in seen.form.items()}
        ref = urlsplit(form.get("StatusCallback", "")).path.rpartition("/")[2]
        row: dict[str, object] = {
            "sid": f"{prefix}{len(self.log) + 1:032x}",
            "account_sid": ACCOUNT,
            "to": form["To"],
            "from": form.get("From"),
            "status": "queued",
            "direction": "outbound-api",
            "date_created": format_datetime(to_datetime(self.clock.now())),
            "date_sent": None,
            "price": None,
            "price_unit": "USD",
            "num_segments": "0",
            "ref": ref,
        }
        if prefix == "SM":
            row["body"] = form["Body"]
        self.log.append(row)
        return row

    def _answer(self, seen: Seen) -> Reply:
        path = urlsplit(seen.path).path.removeprefix("/2010-04-01/Accounts").removeprefix(f"/{ACCOUNT}")
        if "Authorization" not in seen.headers:
            return Reply(401, error(20003, 401))
        match seen.method, path:
            case "POST", "/Messages.json":
                return self._create(seen, "SM")
            case "POST", "/Calls.json":
                return self._create(seen, "CA")
            case "GET", "/Messages.json":
                return self._list(seen, "messages", "SM")
            case "GET", "/Calls.json":
                return self._list(seen, "calls", "CA")
            case "GET", ".json":
                return Reply(200, {"sid": ACCOUNT, "status": self.status})
            case "GET", "/Balance.json":
                return Reply(200, {"account_sid": ACCOUNT, "balance": self.balance, "currency": "USD"})
            case "GET", "/IncomingPhoneNumbers.json":
                able = {"sms": True, "voice": True, "mms": False}
                mine = [{"phone_number": SENDER, "capabilities": able}] if seen.query["PhoneNumber"] == SENDER else []
                return Reply(200, {"incoming_phone_numbers": mine, "next_page_uri": None, "page": 0})
            case "GET", _ if "/v1/Services/" in seen.path:
                return Reply(200, {"sid": SERVICE, "account_sid": ACCOUNT})
        return Reply(404, error(20404, 404))

    def _create(self, seen: Seen, prefix: str) -> Reply:
        to = seen.form["To"][0]
        if to == DEAD:
            return Reply(400, error(21211, 400, f"The 'To' number {to} is not a valid phone number."))
        if to == STOPPED:
            return Reply(400, error(21610, 400, "Attempt to send to unsubscribed recipient"))
        return Reply(201, self.take(seen, prefix))

    def _list(self, seen: Seen, name: str, prefix: str) -> Reply:
        query = seen.query
        rows = [row for row in reversed(self.log) if row["to"] == query["To"] and str(row["sid"]).startswith(prefix)]
        size, page = int(query["PageSize"]), int(query.get("Page", "0"))
        here = rows[page * size : (page + 1) * size]
        more = urlencode({"To": query["To"], "PageSize": size, "Page": page + 1})
        following = f"{urlsplit(seen.path).path}?{more}" if len(rows) > (page + 1) * size else None
        return Reply(200, {name: here, "next_page_uri": following, "page": page, "page_size": size})


def error(code: int, status: int, message: str = "no") -> dict[str, object]:
    return {
        "code": code,
        "message": message,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
        "status": status,
    }


def message(
    n: int, *, channel: Channel = Channel.SMS, to: str = "", body: str = "", link: str = "", **more
) -> Outbound:
    ref = f"{n:024x}"
    kept = {
        "sender": "",
        "not_after": NOW + DAY,
        "meta": {
            "journey": "settled-30d",
            "callback": f"https://recall.example/hooks/twilio/{ref}",
            "voice": f"https://recall.example/voice/{ref}",
        },
        **more,
    }
    content = Content(body=body or f"【示例】第{n}位,欢迎回来 & more\n拒收请回复R", link=link, locale="zh-CN")
    return Outbound(
        ref=ref,
        channel=channel,
        user=f"user-{n}",
        address=Address(AddressKind.PHONE, to or f"+86139{n:08d}"),
        content=content,
        **kept,
    )


def payload(name: str, **changes: str | None) -> list[tuple[str, str]]:
    """A form as Twilio posts it, with fields changed, added, or (None) left out."""
    pairs = dict(parse_qsl((PAYLOADS / f"{name}.txt").read_text().replace("\n", ""), keep_blank_values=True))
    pairs |= {key: value for key, value in changes.items() if value is not None}
    return [(key, value) for key, value in pairs.items() if changes.get(key, "") is not None]


def signed(
    pairs: list[tuple[str, str]],
    *,
    url: str = "https://recall.example/hooks/twilio/token",
    token: str = TOKEN,
    headers: Mapping[str, str] | None = None,
) -> RawRequest:
    """A request as Twilio signs it."""
    signature = RequestValidator(token).compute_signature(url, MultiDict(pairs))
    sent = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    return RawRequest("POST", url, {**sent, **(headers or {})}, urlencode(pairs).encode())


def recut(pairs: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """The same characters, cut elsewhere: every neighbouring pair of fields joined, in each of two ways."""
    inorder = sorted(pairs)
    cuts = []
    for n in range(len(inorder) - 1):
        (name, value), (following, its) = inorder[n], inorder[n + 1]
        rest = inorder[:n] + inorder[n + 2 :]
        cuts.append([*rest, (name, value + following + its)])
        cuts.append([*rest, (name + value + following, its)])
    return cuts
