"""Where do answers go when the store is down? Into an fsynced file, replayed before anything else is sent.

One file per process; a line is an answer, without personal data. A torn last line (the process died while
writing) is left where it is: its send is still `calling` and becomes a doubt.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from journeys.words import Cause, Outcome
from recall.clock import Instant
from recall.store.connect import Store
from recall.store.guards import store_epoch
from recall.store.ledger import Answer, settle
from recall.store.policies import live_policies


def spool_dir(var_dir: Path, store: Store) -> Path:
    """Where answers for this store are kept: another store in the same `var_dir` would drop them as unknown."""
    return var_dir / f"spool-{store_epoch(store)}"


def spool(directory: Path, answers: Sequence[Answer]) -> Path:
    """Keep answers durably; returns the file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{os.getpid()}.jsonl"
    lines = "".join(json.dumps(_written(answer)) + "\n" for answer in answers)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        left = memoryview(lines.encode())
        while left:  # a disk that fills up takes a part, and says so only at the next attempt
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return path


def _written(answer: Answer) -> dict[str, object]:
    return {
        "ref": answer.ref,
        "outcome": answer.outcome.value,
        "cause": answer.cause.value if answer.cause else None,
        "provider_id": answer.provider_id,
        "code": answer.code,
    }


def read(path: Path) -> Iterator[Answer]:
    """The whole lines of a spool file."""
    for line in path.read_text().splitlines():
        try:
            kept = json.loads(line)
        except ValueError:
            continue  # torn by a crash; see the module's first lines
        cause = Cause(kept["cause"]) if kept["cause"] else None
        yield Answer(kept["ref"], Outcome(kept["outcome"]), cause, kept["provider_id"], kept["code"])


def replay(store: Store, directory: Path, *, now: Instant) -> int:
    """Bring spooled answers into the ledger and remove the files; returns how many sends changed."""
    changed = 0
    for path in _taken(directory) if directory.exists() else []:
        try:
            answers = list(read(path))
        except FileNotFoundError:
            continue  # another reconciler brought these back
        with store.writing() as connection:
            changed += settle(connection, answers, live_policies(connection), now=now)
        path.unlink(missing_ok=True)  # another reconciler brought the same answers back: they settle once
    return changed


def _taken(directory: Path) -> list[Path]:
    """The files, out of reach of processes that are still writing: what they add goes into a new file."""
    for path in sorted(directory.glob("*.jsonl")):
        if ".taken." not in path.name:
            with suppress(FileNotFoundError):  # another reconciler was faster
                path.rename(path.with_name(f"{path.stem}.taken.{secrets.token_hex(4)}.jsonl"))
    return sorted(directory.glob("*.taken.*.jsonl"))
