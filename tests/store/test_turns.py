"""Do writers of one process take turns in the order in which they came?"""

from __future__ import annotations

import threading

import pytest

from recall.errors import StoreBusy
from recall.store.turns import Turns


def test_who_came_first_writes_first_and_who_just_wrote_goes_to_the_end():
    turns, order, waiting = Turns(), [], []

    def write(name: str) -> None:
        with turns.turn():
            order.append(name)

    with turns.turn():
        for name in "abc":
            thread = threading.Thread(target=write, args=(name,))
            thread.start()
            waiting.append(thread)
            while len(turns._waiting) < len(waiting):
                pass
    write("again")
    for thread in waiting:
        thread.join()
    assert order == ["a", "b", "c", "again"]


def test_who_is_never_called_is_told_so_and_holds_up_nobody():
    turns = Turns(patience_seconds=0.01)
    told = []

    def wait() -> None:
        try:
            with turns.turn():
                told.append("wrote")
        except StoreBusy:
            told.append("busy")

    with turns.turn():
        thread = threading.Thread(target=wait)
        thread.start()
        thread.join()
    with turns.turn():
        told.append("free")
    assert told == ["busy", "free"]


def test_a_failed_block_hands_its_turn_on():
    turns = Turns(patience_seconds=0.01)
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    with turns.turn():
        pass
