"""What does it cost a message to be counted before it is called, in a new file and in a large one?

    .venv/bin/python -m benchmarks.tripwire [--messages 1000000] [--chunk 500]

One process counts calls to as many addresses; the rest of a send is left out. Prints one JSON object: microseconds of
processor time per message among the first and the last tenth, what a process that starts then waits for its first
chunk (it reads the calls of the last hour), and the size of the file.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import places, seed
from journeys.words import AddressKind, Channel
from providers.base import Address, Content, Outbound
from recall.engine.tripwire import TRIPWIRE_FILE, Tripwire
from recall.store.gate_pass import new_refs


def chunk(first: int, size: int) -> list[Outbound]:
    """So many messages to addresses nobody had before."""
    return [
        Outbound(ref, Channel.SMS, "", Address(AddressKind.PHONE, f"+86138{first + place:08d}"), Content("-"), "", 0)
        for place, ref in enumerate(new_refs(size))
    ]


def _opened(folder: Path) -> Tripwire:
    return Tripwire(folder / TRIPWIRE_FILE, key=b"benchmark", now=lambda: seed.NOW, trip=_tripped)


def _tripped(why: str) -> None:
    raise AssertionError(f"the tripwire tripped: {why}")


def measure(messages: int, size: int) -> dict[str, Any]:
    """Processor time of this process, by tenths of the messages."""
    with places.alone(), tempfile.TemporaryDirectory(dir=places.FOLDER) as name:
        folder = Path(name)
        wire, tenths = _opened(folder), list[float]()
        for tenth in range(10):
            chunks = [chunk(first, size) for first in range(tenth * messages // 10, (tenth + 1) * messages // 10, size)]
            tenths.append(sum(_seconds(wire, each) for each in chunks) / (len(chunks) * size))
        late = _opened(folder)
        begin = _seconds(late, chunk(messages, size))
        counted = (folder / TRIPWIRE_FILE).stat().st_size
        wire.close()
        late.close()
    return {
        "what": "tripwire",
        "messages": messages,
        "chunk": size,
        "first_us": round(tenths[0] * 1e6, 2),
        "last_us": round(tenths[-1] * 1e6, 2),
        "begin_seconds": round(begin, 3),
        "mib": round(counted / 2**20, 1),
    }


def _seconds(wire: Tripwire, messages: list[Outbound]) -> float:
    began = time.process_time()
    wire.before(messages)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=500)
    asked = parser.parse_args()
    print(json.dumps(measure(asked.messages, asked.chunk)))


if __name__ == "__main__":
    main()
