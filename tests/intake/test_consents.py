"""Do consents of a file come into force?"""

from __future__ import annotations

ROWS = """\
user,channel,purpose,granted,at,expires_at,wording
a,SMS,marketing,yes,2026-01-01,2027-01-01,v1
a,sms,marketing,no,2026-02-01,,
a,call,marketing,1,2026-01-01,,v1
"""
ZONE = {"zone": "Asia/Shanghai"}
IN_FORCE = "select channel, granted, expires_at is null from consent_state order by 1"


def test_consents_come_into_force_and_importing_twice_adds_nothing(both):
    both.take("users", "user\na\n")
    assert both.take("consents", ROWS, ZONE).added == 3
    assert [tuple(map(bool, row[1:])) for row in both.rows(IN_FORCE)] == [(True, True), (False, True)]
    again = both.take("consents", ROWS, ZONE)
    assert (again.added, again.unchanged) == (0, 3)


def test_what_is_the_same_in_every_row_can_be_set(desk):
    desk.take("users", "user\na\n")
    said = {"set": {"channel": "email", "purpose": "news", "granted": "true", "source": "form"}, **ZONE}
    assert desk.take("consents", "user,at\na,2026-01-01\n", said).added == 1
    assert desk.rows("select channel, purpose, source, brand from consents") == [("email", "news", "form", "default")]
