"""Who may post to us? Whoever signs the body with a key we share; nobody else changes anything (I22).

    X-Recall-Key        id of the key
    X-Recall-Timestamp  seconds since 1970, ten digits, at most five minutes off
    X-Recall-Signature  hex HMAC-SHA-256 of  timestamp + "." + method + "." + path with query + "." + body

A request that is sent again is harmless: everything it tells has an id.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from fastapi import Request

from recall.clock import SECOND
from recall.web.context import Web, refuse

MAX_AGE_SECONDS = 300
METRICS_KEY = "metrics"  # the id of the key that reads /metrics, and does nothing else
MAX_CARD_SECONDS = 31 * 86_400  # how long a token of the in-app door may hold


def sign(secret: str, timestamp: str, method: str, target: str, body: bytes) -> str:
    """What stands in X-Recall-Signature; `target` is the path below the public URL, with its query."""
    return _hex(secret, f"{timestamp}.{method}.{target}.".encode() + body)


def sign_card(secret: str, key: str, user: str, expires: int) -> str:
    """The bearer token with which the app of one user asks for its card; made by the host's own server."""
    return f"{key}.{expires}.{_hex(secret, f'in-app.{expires}.{user}'.encode(errors='replace'))}"


def confirm_sender(web: Web, request: Request, body: bytes) -> str:
    """The id of the key that signed; raises HTTPException 401 for a request that is not signed, 403 for a wrong one."""
    key = request.headers.get("x-recall-key", "")
    timestamp = request.headers.get("x-recall-timestamp", "")
    signature = request.headers.get("x-recall-signature", "")
    if not (key and timestamp and signature):
        raise refuse(401, "sign the request: X-Recall-Key, X-Recall-Timestamp, X-Recall-Signature")
    raw = request.scope.get("raw_path", b"").decode("latin-1").partition("?")[0]
    query = request.scope.get("query_string", b"").decode("latin-1")
    target = f"{raw}?{query}" if query else raw
    expected = sign(_secret(web, key), timestamp, request.method, target, body)
    if key == METRICS_KEY or not _same(expected, signature) or not _known(web, key):
        raise refuse(403, "the signature does not fit")
    if not re.fullmatch(r"\d{10}", timestamp, re.ASCII) or abs(_now(web) - int(timestamp)) > MAX_AGE_SECONDS:
        raise refuse(403, "the timestamp is more than five minutes off")
    return key


def confirm_card(web: Web, request: Request, user: str) -> None:
    """Raises HTTPException unless the bearer token was made for this user and holds now."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    parts = token.strip().split(".")
    if scheme.lower() != "bearer" or len(parts) != 3:
        raise refuse(401, "send Authorization: Bearer with a token made for this user")
    key, expires, _ = parts
    if not re.fullmatch(r"\d{10}", expires, re.ASCII):
        raise refuse(403, "the token does not fit")
    expected = sign_card(_secret(web, key), key, user, int(expires))
    if key == METRICS_KEY or not _same(expected, token.strip()) or not _known(web, key):
        raise refuse(403, "the token does not fit")
    if not _now(web) <= int(expires) <= _now(web) + MAX_CARD_SECONDS:
        raise refuse(403, "the token is over, or holds for more than 31 days")


def may_read_metrics(web: Web, request: Request) -> bool:
    """With a key called `metrics`: whoever bears its secret. Without one: this machine, and not through a proxy."""
    if _known(web, METRICS_KEY):
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and _same(_secret(web, METRICS_KEY), token.strip())
    proxied = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip", "via"))
    return not proxied and request.client is not None and request.client.host in ("127.0.0.1", "::1")


def _known(web: Web, key: str) -> bool:
    return key in web.settings.web_api_keys


def _secret(web: Web, key: str) -> str:
    """For an unknown key one that fits nothing, so that the answer takes as long."""
    secret = web.settings.web_api_keys.get(key)
    return secret.get_secret_value() if secret else "no such key"


def _hex(secret: str, said: bytes) -> str:
    return hmac.new(secret.encode(), said, hashlib.sha256).hexdigest()


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode(errors="replace"))


def _now(web: Web) -> int:
    return web.wall.now() // SECOND
