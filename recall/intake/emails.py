"""Which e-mail address is this? One spelling per mailbox: NFKC, small letters, the domain in ASCII (IDNA 2008)."""

from __future__ import annotations

import re
import unicodedata

from recall.intake.reasons import Reason, Rejected
from recall.intake.texts import refuse_unseen

MAX_EMAIL = 254  # RFC 5321
_MAX_LOCAL = 64
_LOCAL = re.compile(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_NOBODY_READS = frozenset(("abuse", "postmaster", "hostmaster", "mailer-daemon", "noreply", "no-reply", "donotreply"))


def read_email(text: str, column: str) -> str | None:
    """An e-mail address, normalised; None for an empty cell."""
    text = text.strip()
    if not text:
        return None
    refuse_unseen(text, column)
    text = unicodedata.normalize("NFKC", text).strip().lower()
    if re.search(r"[,;\s]", text) and text.count("@") > 1:
        raise Rejected(Reason.SEVERAL_IN_ONE, column)
    local, at, domain = text.partition("@")
    domain = _ascii_domain(domain)
    if not at or not _LOCAL.fullmatch(local) or len(local) > _MAX_LOCAL or not domain:
        raise Rejected(Reason.EMAIL_INVALID, column)
    if len(local) + 1 + len(domain) > MAX_EMAIL:
        raise Rejected(Reason.TOO_LONG, column)
    if local in _NOBODY_READS:
        raise Rejected(Reason.EMAIL_ROLE, column)
    return f"{local}@{domain}"


def _ascii_domain(domain: str) -> str:
    """The domain as it travels; "" when it is none."""
    if not domain.isascii():
        import idna  # only for the few domains that need it

        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError:
            return ""
    labels = domain.split(".")
    if len(labels) < 2 or labels[-1].isdigit() or not all(_LABEL.fullmatch(label) for label in labels):
        return ""
    return domain
