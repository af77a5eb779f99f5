"""Where does a tap on our short link lead, and was it a person who tapped?

Everybody is led to the stored target; only people are counted. Programs look ahead: mail scanners, link previews,
prefetching browsers. What comes within seconds of the delivery is counted, and marked.
"""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from journeys.words import ReceiptKind
from recall.clock import MINUTE, SECOND, Instant
from recall.errors import StoreBusy
from recall.settings import Settings
from recall.store.links import Link, find_link, reached_at
from recall.store.receipts import Receipt, record_receipts
from recall.web.context import Web, log
from recall.web.pages import TEXTS, gone, language_of, page

PROVIDER = "link"  # of the receipts made here
SUSPECT = "suspect"
SUSPECT_WITHIN = 10 * SECOND
_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,64}", re.ASCII)
_PROGRAM = re.compile(
    r"(?<!cu)bot\b|crawl|spider|slurp|preview|prerender|scan|monitor|check|fetch|archiver|headless|phantom|lighthouse"
    r"|facebookexternalhit|whatsapp|telegrambot|slack|discord|skypeuripreview|embedly|proofpoint|mimecast|barracuda"
    r"|safelinks|googleimageproxy|yahoomailproxy|curl|wget|python|aiohttp|httpx|go-http|libwww|java/|okhttp|axios|ruby",
    re.IGNORECASE,
)


class Device(StrEnum):
    IOS = "ios"
    ANDROID = "android"
    OTHER = "other"


def routes(web: Web) -> APIRouter:
    router = APIRouter()

    @router.head("/l/{token}", include_in_schema=False)
    @router.get("/l/{token}")
    async def follow(token: str, request: Request) -> Response:
        """On to the stored target, and nowhere else."""
        return await run_in_threadpool(_follow, web, token, request)

    return router


def _follow(web: Web, token: str, request: Request) -> Response:
    language = language_of(request.headers.get("accept-language", ""))
    link = None
    if _TOKEN.fullmatch(token):
        with web.setup.store.reading() as connection:
            link = find_link(connection, token)
    if link is None:
        return gone(language)
    if is_person(request):
        _count(web, link)
    return lead(link.target, device_of(request), web.settings, language)


def _count(web: Web, link: Link) -> None:
    """One click per send and minute. The way on matters more to the person than the count does to us."""
    now = web.setup.clock.now()
    try:
        with web.setup.store.writing() as connection:
            detail = SUSPECT if _is_suspect(reached_at(connection, link.ref), now) else ""
            key = f"{link.ref}:{now // MINUTE}"
            record_receipts(connection, [Receipt(PROVIDER, key, link.ref, ReceiptKind.CLICKED, now, detail)], now=now)
    except StoreBusy as error:
        log.error("a click was not counted: %s", error, extra={"ref": link.ref})


def _is_suspect(reached: Instant | None, now: Instant) -> bool:
    return reached is not None and now - reached < SUSPECT_WITHIN


def is_person(request: Request) -> bool:
    """False for HEAD, prefetch and what calls itself a program."""
    headers = request.headers
    purpose = " ".join(headers.get(name, "") for name in ("purpose", "sec-purpose", "x-purpose", "x-moz")).lower()
    if request.method != "GET" or any(word in purpose for word in ("prefetch", "prerender", "preview")):
        return False
    if headers.get("sec-fetch-mode", "navigate") != "navigate":
        return False
    agent = headers.get("user-agent", "")
    return bool(agent) and not _PROGRAM.search(agent)


def device_of(request: Request) -> Device:
    agent = request.headers.get("user-agent", "")
    if re.search(r"iphone|ipad|ipod", agent, re.IGNORECASE):
        return Device.IOS
    return Device.ANDROID if "android" in agent.lower() else Device.OTHER


def lead(target: str, device: Device, settings: Settings, language: str) -> Response:
    """An https target: a redirect (the system opens the app where it is a universal link). The app's own scheme: a
    page with the deep link and the store of the device, because a redirect would fail where the app is missing."""
    if urlsplit(target).scheme == "https":
        return Response(status_code=302, headers={"location": target})
    texts = TEXTS[language]
    stores = [(texts["ios"], settings.store_url_ios), (texts["android"], settings.store_url_android)]
    if device is not Device.OTHER:
        stores = [stores[0] if device is Device.IOS else stores[1]]
    opens = {Device.IOS: target, Device.ANDROID: intent(target, settings.store_url_android)}.get(device, "")
    shown = [(name, address) for name, address in stores if address.startswith("https://")]
    return page("app", language, title=texts["app_title"], opens=opens, stores=shown)


def intent(target: str, store_url: str) -> str:
    """Android's form of a deep link, which goes to the store when the app is missing."""
    scheme, _, rest = target.partition(":")
    fallback = f"S.browser_fallback_url={quote(store_url, safe='')};" if store_url.startswith("https://") else ""
    return f"intent:{rest.replace('#', '%23')}#Intent;scheme={scheme};{fallback}end"
