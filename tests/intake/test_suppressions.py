"""Does a list of stops bind everybody it names, and say when it did not?"""

from __future__ import annotations

from recall.store.suppressions import suppressions_known

CN = {"region": "CN"}
FLAGS = "select kind, opted_out, suppressed from addresses where id > 0 order by kind, hash"


def test_everybody_named_is_bound_known_or_not(both):
    both.take("users", "user,phone\na,13800138000\nb,13800138000\n", CN)
    report = both.take("suppressions", "phone,email,user\n138 0013 8000,X@Example.com,a\n", CN)
    assert report.added == 1
    assert [(kind, bool(flag)) for kind, _, flag in both.rows(FLAGS)] == [("email", True), ("phone", True)]
    assert both.rows("select user_id from users where suppressed") == [("a",)]
    assert both.take("suppressions", "phone,email,user\n13800138000,x@example.com,a\n", CN).unchanged == 1


def test_addresses_may_come_as_hashes_of_this_store(desk):
    hashed = desk.store.hash_address("phone", "+8613800138000")
    desk.take("suppressions", f"kind,hash,reason\nphone,{hashed},opted_out\n")
    desk.take("users", "user,phone\na,13800138000\n", CN)
    assert desk.rows(FLAGS) == [("phone", 63, 0)]


def test_a_stop_may_be_for_one_channel(desk):
    desk.take("suppressions", "kind,value,channel\nphone,13800138000,SMS\nphone,13900139000,all\n", CN)
    assert sorted(row[1:] for row in desk.rows(FLAGS)) == [(0, 1), (2, 0)]


def test_a_landline_can_be_suppressed(desk):
    assert desk.take("suppressions", "phone\n+861012345678\n").added == 1


def test_a_pause_has_an_end(desk):
    desk.take("suppressions", "phone,until\n+8613800138000,2026-04-01\n", {"zone": "Asia/Shanghai"})
    assert desk.rows("select until from suppressions") == [(1_774_972_800_000_000,)]


def test_live_mode_waits_for_a_list_without_rejects(desk):
    assert not suppressions_known(desk.store)
    desk.take("suppressions", "phone\n")
    desk.take("suppressions", "phone\n+8613800138000\n12\n")
    assert not suppressions_known(desk.store)
    desk.take("suppressions", "phone\n+8613800138000\n")
    assert suppressions_known(desk.store)


def test_a_person_may_say_that_the_rejects_are_nobody(desk):
    desk.take("suppressions", "phone\n+8613800138000\n12\n", despite_rejects=True)
    assert suppressions_known(desk.store)


def test_no_address_is_kept_of_people_who_are_not_users(desk):
    desk.take("suppressions", "phone,email\n+8613800138000,x@example.com\n")
    assert desk.rows("select value from addresses where id > 0") == [(None,), (None,)]
