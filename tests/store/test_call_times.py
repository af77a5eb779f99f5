"""Do the times of many workers add up to one histogram?"""

from __future__ import annotations

from recall.store.call_times import BOUNDS_SECONDS, CallTimes, add_call_times, read_call_times
from recall.store.connect import Store


def test_what_workers_measured_adds_up(store: Store):
    one, other = CallTimes(), CallTimes()
    one.add(0.05, 100)
    one.add(0.0501, 1)
    other.add(9.0, 10)
    other.add(11.0, 10)  # beyond every bound
    for times in ({"sms": one}, {"sms": other, "email": one}, {}):
        with store.writing() as connection:
            add_call_times(connection, times)
    with store.reading() as connection:
        known = read_call_times(connection)
    assert known["email"] == one
    assert (known["sms"].calls, known["sms"].messages, known["sms"].micros) == (4, 121, 20_100_100)
    assert known["sms"].within == [1, 1, *[0] * (len(BOUNDS_SECONDS) - 3), 1]
