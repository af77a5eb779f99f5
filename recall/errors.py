"""What went wrong, told by what the caller can do about it?

    RecallError
      Transient        known not accepted (DNS, refused, TLS, 429): due again with backoff
        StoreBusy      the store is locked or lost: run the transaction again
      Uncertain        the request left and the answer is lost: in doubt, never resent blind
      ChannelDown      key, sender or account wrong: the step stops for all, rows stay due, the run is red
      StaleClaim       somebody else moved this row: drop it quietly
      WebhookRejected  bad signature or stale timestamp: answer 4xx
    Misconfigured      settings, journey, policy or store wrong; outside RecallError so that nothing
                       that copes with failed sends can hide it; raised at a door before any send
      BadFile          a file a person wrote: where, what, what to write instead

A refused recipient is a value (`Outcome.REFUSED`), not an exception.
Texts carry ids, counts and vendor codes; never a phone, e-mail, name or secret.
"""

from __future__ import annotations

from dataclasses import dataclass


class RecallError(Exception):
    """Base of everything that can go wrong while recall works."""

    retryable = False


class Transient(RecallError):
    """Known not to have happened; safe to try again."""

    retryable = True

    def __init__(self, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StoreBusy(Transient):
    """The store is locked or unreachable; nothing was decided."""


class Uncertain(RecallError):
    """The request left and the answer is lost."""


class ChannelDown(RecallError):
    """Configuration of a provider or sender is wrong; nobody on this step can be reached."""


class StaleClaim(RecallError):
    """The row was moved by somebody else meanwhile."""


class WebhookRejected(RecallError):
    """The request does not come from the vendor, or too late."""


class Misconfigured(Exception):
    """Something a person must put right before anything is sent; the text says what to do."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file a person wrote."""

    file: str
    line: int | None  # 1-based; None when the whole file is meant
    message: str  # what is wrong
    hint: str = ""  # what to write instead
    column: str | None = None  # CSV column or key path
    severity: str = "error"  # "error" | "warning"

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        column = f" [{self.column}]" if self.column else ""
        hint = f" -> {self.hint}" if self.hint else ""
        return f"{where}{column}: {self.message}{hint}"


class BadFile(Misconfigured):
    """One or more problems in files a person wrote."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
