"""What exactly does the person get? The same digest stands in our ledger and in a provider's log."""

from __future__ import annotations

import hashlib


def digest(*, title: str, body: str, html: str, link: str) -> str:
    """SHA-256 of everything the person will see."""
    return hashlib.sha256("\x1f".join((title, body, html, link)).encode()).hexdigest()


def written(*, title: str, body: str) -> str:
    """The message as the ledger keeps it: title, empty line, text."""
    return f"{title}\n\n{body}" if title else body
