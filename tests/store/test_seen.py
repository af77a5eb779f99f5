"""Does a file remember what it said before, without growing?"""

from __future__ import annotations

from recall.store.seen import Seen


def test_repetitions_are_counted_by_key():
    with Seen() as seen:
        assert [seen.count(key) for key in (b"a", b"b", b"a", b"a")] == [1, 1, 2, 3]


def test_who_says_something_else_contradicts_the_line_that_spoke_first():
    with Seen() as seen:
        assert seen.contradicts(b"ann", b"x", 2) is None
        assert seen.contradicts(b"ann", b"x", 3) is None
        assert seen.contradicts(b"ann", b"y", 4) == 2
        assert seen.contradicts(b"bob", b"y", 5) is None


def test_one_file_knows_nothing_of_another():
    with Seen() as first, Seen() as second:
        assert (first.count(b"a"), second.count(b"a")) == (1, 1)
