"""Does the outbox keep every message, durably, and tell the truth about it?"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from journeys.words import AddressKind, Cause, Channel, Outcome
from providers.base import Address, Content, Outbound
from providers.faults import SWITCH, Fail, Fault, fault_from, switch_fault
from providers.outbox import Outbox, accepted_log, find_refs
from recall.clock import DAY, FixedClock
from recall.errors import ChannelDown, Misconfigured
from tests.providers.contract import ProviderContract, Rig

NOW = 1_772_416_800_000_000  # 2026-03-02 02:00 UTC
DEAD = "+8613900009999"
STOPPED = "+8613900008888"


def message(n: int, *, channel: Channel = Channel.SMS, to: str = "", body: str = "") -> Outbound:
    return Outbound(
        ref=f"{n:024x}",
        channel=channel,
        user=f"user-{n}",
        address=Address(AddressKind.PHONE, to or f"+86139{n:08d}"),
        content=Content(
            body=body or f"【示例】第{n}位,欢迎回来\n拒收请回复R", title="回来", link="https://example.com/a"
        ),
        sender="",
        not_after=NOW + DAY,
        meta={"journey": "settled-30d"},
    )


def send(outbox: Outbox, *messages: Outbound):
    async def all_of():
        return [result async for result in outbox.send(messages)]

    return asyncio.run(all_of())


class TestOutboxKeepsTheContract(ProviderContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        clock = FixedClock(NOW)
        fault = Fault(refuse=frozenset({DEAD}), opted_out=frozenset({STOPPED}))
        outbox = Outbox(tmp_path / "outbox", clock=clock, fault=fault)
        return Rig(
            provider=outbox,
            clock=clock,
            message=message,
            refused=lambda: message(901, to=DEAD),
            opted_out=lambda: message(902, to=STOPPED),
            break_it=lambda fail: switch_fault(
                outbox.folder, Fault(fail=fail, retry_after_seconds=7) if fail else None
            ),
            accepted=lambda: [row.ref for row in accepted_log(outbox.folder)],
        )


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox", clock=FixedClock(NOW))


def test_a_line_tells_everything_that_was_handed_over(outbox: Outbox):
    sent = message(1)
    send(outbox, sent)
    (path,) = outbox.folder.rglob("*.jsonl")
    assert path.relative_to(outbox.folder).as_posix() == "2026-03-02/sms.jsonl"
    assert "欢迎回来" in path.read_text("utf-8")  # people read it
    (row,) = accepted_log(outbox.folder)
    assert (row.ref, row.at, row.channel, row.user) == (sent.ref, NOW, Channel.SMS, "user-1")
    assert (row.address, row.body, row.title, row.link) == (
        sent.address,
        sent.content.body,
        sent.content.title,
        sent.content.link,
    )
    assert row.body_hash == sent.content.digest()
    assert row.meta == {"journey": "settled-30d"}


def test_channels_and_days_have_files_of_their_own(tmp_path: Path):
    clock = FixedClock(NOW)
    outbox = Outbox(tmp_path, clock=clock)
    send(outbox, message(1), message(2, channel=Channel.CALL))
    clock.instant += DAY
    send(outbox, message(3))
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jsonl"))
    assert names == ["2026-03-02/call.jsonl", "2026-03-02/sms.jsonl", "2026-03-03/sms.jsonl"]
    assert [row.user for row in accepted_log(tmp_path)] == ["user-2", "user-1", "user-3"]


def test_a_torn_last_line_is_not_counted_and_spoils_nothing_after_it(outbox: Outbox):
    send(outbox, message(1), message(2))
    (path,) = outbox.folder.rglob("*.jsonl")
    whole = path.read_bytes()
    for cut in range(whole.index(b"\n") + 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert [row.user for row in accepted_log(outbox.folder)] == ["user-1"]
        assert find_refs(outbox.folder, {message(2).ref}) == set()
    send(outbox, message(3))
    assert [row.user for row in accepted_log(outbox.folder)] == ["user-1", "user-3"]


def test_many_writers_at_once_lose_and_tear_nothing(outbox: Outbox):
    def write(writer: int) -> None:
        for n in range(20):
            send(outbox, *[message(writer * 1000 + n * 10 + k, body="长" * 3000) for k in range(5)])

    with ThreadPoolExecutor(6) as writers:
        list(writers.map(write, range(6)))
    lines = [line for path in outbox.folder.rglob("*.jsonl") for line in path.read_text("utf-8").splitlines()]
    assert len({json.loads(line)["ref"] for line in lines}) == len(lines) == 600


_SENDER = """
import asyncio, sys
from pathlib import Path
from providers.outbox import Outbox
from recall.clock import FixedClock
from tests.providers.test_outbox import NOW, message

async def main(folder, start):
    outbox, n = Outbox(Path(folder), clock=FixedClock(NOW)), int(start)
    while True:
        async for result in outbox.send([message(n + k, body="x" * 5000) for k in range(20)]):
            print(result.ref, result.outcome, flush=True)
        n += 20

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_killed_sender_leaves_a_readable_log_with_every_answered_message(tmp_path: Path):
    root = Path(__file__).parents[2]
    answered: list[str] = []
    for round_ in range(4):
        command = [sys.executable, "-c", _SENDER, str(tmp_path), str(round_ * 100_000)]
        sender = subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        assert sender.stdout is not None
        lines = [sender.stdout.readline() for _ in range(45 + 7 * round_)]
        sender.send_signal(signal.SIGKILL)
        lines += [line for line in sender.stdout if line.endswith("\n")]
        sender.wait()
        sender.stdout.close()
        assert all(line.split()[1] == "accepted" for line in lines)
        answered += [line.split()[0] for line in lines]
    kept = [row.ref for row in accepted_log(tmp_path)]
    assert len(kept) == len(set(kept))
    assert set(answered) <= set(kept)


def test_evidence_is_found_whatever_day_it_was_sent(tmp_path: Path):
    clock = FixedClock(NOW)
    outbox = Outbox(tmp_path, clock=clock)
    send(outbox, message(1))
    clock.instant += 40 * DAY
    send(outbox, message(2))
    assert find_refs(tmp_path, {message(1).ref, message(2).ref, "f" * 24}) == {message(1).ref, message(2).ref}


def test_a_share_of_messages_fails_always_the_same_ones(outbox: Outbox):
    switch_fault(outbox.folder, Fault(fail=Fail.CONNECT, share=0.3))
    batch = [message(n) for n in range(400)]
    first = {result.ref: result.outcome for result in send(outbox, *batch)}
    again = {result.ref: result.outcome for message in batch for result in send(outbox, message)}
    assert first == again
    assert 80 < sum(outcome is Outcome.NOT_SENT for outcome in first.values()) < 160


def test_an_outage_can_be_set_by_options_and_ended_by_the_switch(tmp_path: Path):
    outbox = Outbox(tmp_path, clock=FixedClock(NOW), fault=fault_from({"fail": "connect", "latency_ms": "1"}))
    assert send(outbox, message(1))[0].cause is Cause.CONNECT
    switch_fault(tmp_path, Fault(fail=Fail.NONE))
    assert send(outbox, message(1))[0].outcome is Outcome.ACCEPTED
    switch_fault(tmp_path, None)
    assert send(outbox, message(1))[0].cause is Cause.CONNECT


def test_refusals_by_list_and_by_text(tmp_path: Path):
    options = {"refuse": f"{DEAD}, +8613900007777", "opted_out": STOPPED, "refuse_text": "贷款"}
    outbox = Outbox(tmp_path, clock=FixedClock(NOW), fault=fault_from(options))
    results = send(outbox, message(1, to=DEAD), message(2, to=STOPPED), message(3, body="贷款来了"), message(4))
    assert [result.cause for result in results] == [Cause.ADDRESS, Cause.OPTED_OUT, Cause.CONTENT, None]
    assert DEAD not in repr(fault_from(options))


def test_a_switch_file_nobody_can_read_stops_the_channel(outbox: Outbox):
    outbox.folder.mkdir(parents=True)
    for text in ("{", "[]", '{"fail": "sideways"}'):
        (outbox.folder / SWITCH).write_text(text)
        with pytest.raises(ChannelDown, match="switch file"):
            send(outbox, message(1))


def test_a_folder_that_cannot_be_written_is_in_doubt_not_lost(outbox: Outbox):
    (outbox.folder / "2026-03-02").parent.mkdir(parents=True)
    (outbox.folder / "2026-03-02").write_text("in the way")
    (result,) = send(outbox, message(1))
    assert result.outcome is Outcome.IN_DOUBT


def test_an_option_that_means_nothing_is_told_at_the_door():
    with pytest.raises(Misconfigured, match="share"):
        fault_from({"share": "2"})
    with pytest.raises(Misconfigured, match="fail"):
        fault_from({"fail": "sideways"})
