"""What stands in the log? One JSON object per line, without phones, e-mails, tokens and secrets."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterable
from contextvars import ContextVar

from pydantic import SecretStr

from providers.masking import mask
from recall.clock import SECOND, to_datetime
from recall.settings import Settings

request_id: ContextVar[str] = ContextVar("recall_request_id", default="")
# Our own addresses carry tokens that open something.
_TOKEN = re.compile(r"(/(?:hooks/[^/\s]+|voice|l|u|in-app)/)[^\s\"'?#]+")
_FIELDS = ("ref", "flow_run_id", "route", "status", "milliseconds", "provider", "error")


class Masked(logging.Filter):
    """Rewrites every record so that no formatter can show what it must not."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = [secret for secret in secrets if len(secret) >= 8]

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._mask(_message(record)), ()
        if record.exc_info:
            record.exc_text = self._mask(_where(record.exc_info[1]))
            record.exc_info = None
        return True

    def _mask(self, text: str) -> str:
        return mask(_TOKEN.sub(r"\1<token>", text), self._secrets)


def _where(error: BaseException | None) -> str:
    """A traceback without the errors' texts: those of databases hold whole rows, and no pattern finds a name."""
    lines: list[str] = []
    while error is not None:
        frames = traceback.format_tb(error.__traceback__)
        lines[:0] = ["Traceback (most recent call last):\n", *frames, f"{type(error).__name__}\n"]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "".join(lines)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # a library's wrong format string must not lose the line
        return str(record.msg)


class AsJson(logging.Formatter):
    """One line per record; `ref` and `flow_run_id` when somebody gave them as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": to_datetime(int(record.created * SECOND)).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get() or None,
        }
        line |= {name: getattr(record, name, None) for name in _FIELDS}
        if record.exc_text:
            line["traceback"] = record.exc_text
        kept = {name: value for name, value in line.items() if value is not None or name in ("ref", "flow_run_id")}
        return json.dumps(kept, ensure_ascii=False, default=str)


def secrets_of(settings: Settings) -> list[str]:
    """Every secret the settings hold, so that none is ever shown."""
    keys = [*settings.signing_keys, *settings.web_api_keys.values()]
    keys += [value for _, value in settings if isinstance(value, SecretStr)]
    found = [key.get_secret_value() for key in keys]
    found += [value for options in settings.provider_options.values() for value in options.values()]
    if "@" in settings.database_url:
        found.append(settings.database_url.split("://", 1)[-1].rsplit("@", 1)[0].partition(":")[2])
    return found


def log_as_json(settings: Settings) -> None:
    """Send every logger of this process through one masked handler on stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(Masked(secrets_of(settings)))
    handler.setFormatter(AsJson())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in ("twilio", "aiohttp", "urllib3", "google"):  # their INFO lines show recipients
        logging.getLogger(name).setLevel(logging.WARNING)
