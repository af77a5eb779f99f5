"""Which card does the app show, and what did the user do with it? For the app of one user, with a token of theirs."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from journeys.words import ReceiptKind
from recall.store.cards import is_card_of, pending_card
from recall.store.receipts import Receipt, record_receipts
from recall.web.bodies import NotTaken, field_of, read_json
from recall.web.context import Web, refuse
from recall.web.signatures import confirm_card

PROVIDER = "in_app"  # of the receipts made here
DONE = {"shown": ReceiptKind.OPENED, "clicked": ReceiptKind.CLICKED, "dismissed": ReceiptKind.DISMISSED}


def routes(web: Web) -> APIRouter:
    router = APIRouter()

    @router.get("/in-app/{user:path}")
    async def card(user: str, request: Request) -> JSONResponse:
        """`{"card": {"ref", "text", "link", "expires_at"}}`, or `{"card": null}`; the text is plain, never HTML."""
        confirm_card(web, request, user)
        return await run_in_threadpool(_read, web, user)

    @router.post("/in-app/{user:path}")
    async def done(user: str, request: Request) -> Response:
        """`{"ref": …, "did": "shown" | "clicked" | "dismissed"}`; once is as good as ten times."""
        body = await request.body()
        confirm_card(web, request, user)
        return await run_in_threadpool(_keep, web, user, body)

    return router


def _read(web: Web, user: str) -> JSONResponse:
    with web.setup.store.reading() as connection:
        card = pending_card(connection, user, now=web.setup.clock.now())
    if card is None:
        return JSONResponse({"card": None})
    shown = {"ref": card.ref, "text": card.text, "link": card.link, "expires_at": card.expires_at}
    return JSONResponse({"card": shown})


def _keep(web: Web, user: str, body: bytes) -> Response:
    told = read_json(body)
    try:
        ref, did = (field_of(told, "ref"), field_of(told, "did")) if isinstance(told, dict) else ("", "")
    except NotTaken:
        ref = did = ""
    if did not in DONE or not ref or "\x00" in ref:
        raise refuse(400, f"write ref and did: one of {', '.join(DONE)}")
    now = web.setup.clock.now()
    with web.setup.store.writing() as connection:
        if not is_card_of(connection, ref, user):
            raise refuse(404, "this user has no such card")
        kept = Receipt(PROVIDER, f"{ref}:{did}", ref, DONE[did], now)
        record_receipts(connection, [kept], now=now)
    return Response(status_code=204)
