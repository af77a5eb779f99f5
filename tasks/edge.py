"""What may Prefect see of an error? Our own words only: ids and counts, never a row, a body or an address.

Prefect keeps the text of an exception in the state of the run and its traceback, causes included, in the log;
a database error carries the values of the row. So nothing leaves a task but what `recall.errors` allows.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recall.errors import Misconfigured, RecallError

_ROOT = Path(__file__).parent.parent


@contextmanager
def edge(what: str) -> Iterator[None]:
    """Let our own errors through without their causes; of any other error tell the type and the place."""
    try:
        yield
    except (RecallError, Misconfigured) as error:
        raise error.with_traceback(None) from None  # the log of a run is read by people: our words, not our frames
    except Exception as error:  # the text of an error nobody foresaw may hold personal data
        raise RecallError(
            f"{what}: stopped by something unforeseen ({type(error).__name__} at {_place(error)}); "
            "what was committed stays, and running again is safe"
        ) from None


def _place(error: Exception) -> str:
    """The last line of ours on the way to the error."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(_ROOT) and ".venv" not in path.parts:
            return f"{path.relative_to(_ROOT)}:{frame.lineno}"
    return "an unknown place"
