"""Do caps and the unresponsive rule know what was sent before?"""

from __future__ import annotations

ROWS = "user,channel,at,responded_at\na,sms,2026-01-01,\na,SMS,2026-01-02,2026-01-03\na,call,2026-01-05,\n"
ZONE = {"zone": "Asia/Shanghai"}


def test_past_sends_are_remembered_once(both):
    both.take("users", "user\na\n")
    report = both.take("history", ROWS, ZONE)
    assert (report.added, report.unchanged) == (3, 0)
    state = both.rows("select s1, s3, sms1, call1, streak from contact_state")
    assert state == [(1_767_542_400_000_000, 1_767_196_800_000_000, 1_767_283_200_000_000, 1_767_542_400_000_000, 1)]
    again = both.take("history", ROWS, ZONE)
    assert (again.added, again.unchanged) == (0, 3)
    assert both.rows("select s1, s3, sms1, call1, streak from contact_state") == state
