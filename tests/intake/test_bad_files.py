"""What becomes of every bad input? Rejected with line, column and reason, or normalised as stated; never silent."""

from __future__ import annotations

import codecs
import gzip
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from recall.errors import BadFile

ZONE = {"zone": "Asia/Shanghai"}
PHONES = {"region": "CN"}


class Bad(NamedTuple):
    """One file, what is rejected of it, and what is kept of the rest."""

    what: str
    content: bytes | str
    rejects: list[tuple[int, str, str]]
    kept: list[str] | None = None  # user ids, in order; None: not looked at
    mapping: Mapping[str, Any] = MappingProxyType({})


def users(*lines: str) -> str:
    return "\n".join(("user,phone,email,note", *lines)) + "\n"


ROWS = [
    # the row as it stands in the file
    Bad("a short row", users("a,,,", "b,,", "c,,,"), [(3, "", "short_row")], ["a", "c"]),
    Bad("a long row", users("a,,,", "b,,,,", "c,,,"), [(3, "", "long_row")], ["a", "c"]),
    Bad("an extra field does not shift columns", users("x,a,,,"), [(2, "", "long_row")], []),
    Bad(
        "an unclosed quote does not merge two rows",
        users('a,,,"oops', "b,,,", 'c,,,"fine"'),
        [(2, "", "unclosed_quote")],
        ["b", "c"],
    ),
    Bad(
        "two unclosed quotes do not swallow what is between",
        users('a,,,"x', "b,,,", 'c,,,y"', "d,,,"),
        [(2, "", "unclosed_quote")],
        ["b", "c", "d"],
    ),
    Bad("text after a closing quote", users('a,,,"x"y', "b,,,"), [(2, "", "text_after_quote")], ["b"]),
    Bad("an unclosed quote in the last line", users("a,,,", 'b,,,"x'), [(3, "", "unclosed_quote")], ["a"]),
    Bad("a truncated last line", "user,phone,email,note\na,,,\nb,,", [(3, "", "short_row")], ["a"]),
    Bad("no line end after the last line", "user,phone,email,note\na,,,", [], ["a"]),
    Bad("a NUL byte", users("a\0,,,", "b,,,"), [(2, "", "nul")], ["b"]),
    Bad("a field over 64 KiB", users(f"a,,,{'x' * 65_537}", "b,,,"), [(2, "note", "field_too_long")], ["b"]),
    Bad("a wide field over 64 KiB", users(f"a,,,{'汉' * 30_000}", "b,,,"), [(2, "note", "field_too_long")], ["b"]),
    Bad("a quoted field over 64 KiB", users(f'a,,,"{"x" * 140_000}"'), [(2, "note", "field_too_long")], []),
    Bad("a row over 256 KiB", users("a,,," + "x" * 300_000, "b,,,"), [(2, "", "row_too_long")], ["b"]),
    Bad("a row of 10 MB is not read as many", users("y" * 10_000_000, "b,,,"), [(2, "", "row_too_long")], ["b"]),
    Bad("a second header", users("a,,,", "user,phone,email,note", "b,,,"), [(3, "", "header_again")], ["a", "b"]),
    Bad("line ends of three kinds", "user,phone,email,note\r\na,,,\rb,,,\nc,,,\r\n", [], ["a", "b", "c"]),
    Bad("empty lines", "\n\nuser,phone,email,note\n\na,,,\n  \nb,,,\n\n", [], ["a", "b"]),
    Bad("commas alone", users(",,,", "b,,,"), [(2, "user", "missing")], ["b"]),
    Bad("a byte order mark", b"\xef\xbb\xbf" + users("a,,,").encode(), [], ["a"]),
    Bad(
        "a byte order mark where files were joined",
        users("a,,,", "\ufeffb,,,"),
        [(3, "user", "hidden_character")],
        ["a"],
    ),
    Bad("UTF-16 with byte order mark", users("汉,,,").encode("utf-16"), [], ["汉"]),
    Bad("UTF-16 big endian", codecs.BOM_UTF16_BE + users("汉,,,").encode("utf-16-be"), [], ["汉"]),
    Bad("semicolons", users("a,,,").replace(",", ";"), [], ["a"]),
    Bad("tabs", users("a,,,").replace(",", "\t"), [], ["a"]),
    Bad("bars", users("a,,,").replace(",", "|"), [], ["a"]),
    # ids
    Bad(
        "ids that look like numbers",
        users("0138,,,", "1234567890123456789,,,", "1e5,,,"),
        [],
        ["0138", "1234567890123456789", "1e5"],
    ),
    Bad(
        "ids that look like nothing", users("NA,,,", "None,,,", "null,,,", "nan,,,"), [], ["NA", "None", "nan", "null"]
    ),
    Bad("ids that look like booleans", users("TRUE,,,", "no,,,"), [], ["TRUE", "no"]),
    Bad("spaces around an id", users("  a  ,,,", "\u3000b\u00a0,,,"), [], ["a", "b"]),
    Bad("an id of spaces", users("   ,,,"), [(2, "user", "missing")], []),
    Bad("case and width of ids are kept", users("A1,,,", "a1,,,", "ａ１,,,"), [], ["A1", "a1", "ａ１"]),
    Bad("a zero-width space in an id", users("a\u200b,,,"), [(2, "user", "hidden_character")], []),
    Bad("a right-to-left override in an id", users("a\u202eb,,,"), [(2, "user", "hidden_character")], []),
    Bad("a control character in an id", users("a\x07,,,"), [(2, "user", "control_character")], []),
    Bad("an id without end", users("a" * 201 + ",,,"), [(2, "user", "too_long")], []),
    Bad("an emoji in an id", users("🙂,,,"), [], ["🙂"]),
    Bad(
        "SQL, HTML, templates and paths are only text",
        users("'; drop table users;--,,,", "<script>,,,", "{{7*7}},,,", "../../etc/passwd,,,"),
        [],
        ["'; drop table users;--", "../../etc/passwd", "<script>", "{{7*7}}"],
    ),
    Bad("the same user twice alike", users("a,,,x", "a,,,x"), [], ["a"]),
    Bad("the same user twice, differently", users("a,,,x", "b,,,", "a,,,y"), [(4, "user", "contradicts")], ["a", "b"]),
    # phones
    Bad("letters in a phone", users("a,1-800-FLOWERS,,"), [(2, "phone", "phone_characters")], []),
    Bad(
        "an extension",
        users("a,13800138000 ext 5,,", "b,13800138000转8,,"),
        [(2, "phone", "phone_extension"), (3, "phone", "phone_extension")],
        [],
    ),
    Bad(
        "two phones in one cell",
        users("a,13800138000/13900139000,,", "b,13800138000 +8613900139000,,"),
        [(2, "phone", "several_in_one"), (3, "phone", "several_in_one")],
        [],
    ),
    Bad("a short code", users("a,10086,,"), [(2, "phone", "phone_short_code")], []),
    Bad("a premium number", users("a,+19005551234,,"), [(2, "phone", "phone_service")], []),
    Bad("a free-phone number", users("a,+18005551234,,"), [(2, "phone", "phone_service")], []),
    Bad("a landline", users("a,+861012345678,,"), [(2, "phone", "phone_landline")], []),
    Bad("a phone that is too long", users("a,138001380001234,,"), [(2, "phone", "phone_length")], []),
    Bad("a phone that is too short", users("a,+1212555012,,"), [(2, "phone", "phone_length")], []),
    Bad("a phone outside the numbering plan", users("a,12000138000,,"), [(2, "phone", "phone_invalid")], []),
    Bad(
        "a country that does not exist",
        users("a,+0013800138000,,", "b,+99913800138000,,"),
        [(2, "phone", "phone_invalid"), (3, "phone", "phone_invalid")],
        [],
    ),
    Bad("a zero-width space in a phone", users("a,138\u200b00138000,,"), [(2, "phone", "hidden_character")], []),
    Bad("a right-to-left override in a phone", users("a,\u202d13800138000,,"), [(2, "phone", "hidden_character")], []),
    Bad(
        "digits that are none",
        users("a,1380013800²,,", "b,١٣٨٠٠١٣٨٠٠٠,,"),
        [(2, "phone", "phone_characters"), (3, "phone", "phone_characters")],
        [],
    ),
    Bad("a phone in scientific notation", users("a,1.38E+10,,"), [(2, "phone", "phone_characters")], []),
    Bad("one phone under two ids", users("a,13800138000,,", "b,13800138000,,"), [], ["a", "b"]),
    Bad(
        "a national number without region",
        users("a,13800138000,,"),
        [(2, "phone", "phone_without_country")],
        [],
        {"region": None},
    ),
    # e-mails
    Bad("two @", users("a,,x@y@example.com,"), [(2, "email", "email_invalid")], []),
    Bad("two addresses in one cell", users('a,,"x@example.com, y@example.com",'), [(2, "email", "several_in_one")], []),
    Bad(
        "no domain",
        users("a,,a@b,", "b,,ab,", "c,,@example.com,"),
        [(n, "email", "email_invalid") for n in (2, 3, 4)],
        [],
    ),
    Bad(
        "320 characters",
        users(f"a,,{'x' * 64}@{'y' * 60}.{'z' * 60}.{'w' * 60}.{'v' * 60}.com,"),
        [(2, "email", "too_long")],
        [],
    ),
    Bad("a local part over 64", users(f"a,,{'x' * 65}@example.com,"), [(2, "email", "email_invalid")], []),
    Bad(
        "a line break in an e-mail",
        users('a,,"x@example.com\nBcc: y@example.com",', "b,,,"),
        [(2, "", "unclosed_quote"), (3, "", "short_row")],
        ["b"],
    ),
    Bad(
        "a line break in an e-mail of a file with multiline text",
        users('a,,"x@example.com\nBcc: y@example.com",', "b,,,"),
        [(2, "email", "control_character")],
        ["b"],
        {"multiline": True},
    ),
    Bad("a zero-width space in an e-mail", users("a,,x\u200b@example.com,"), [(2, "email", "hidden_character")], []),
    Bad(
        "a role nobody reads",
        users("a,,postmaster@example.com,", "b,,NoReply@example.com,"),
        [(2, "email", "email_role"), (3, "email", "email_role")],
        [],
    ),
    Bad(
        "dots where none may be",
        users("a,,.x@example.com,", "b,,x..y@example.com,", "c,,x@example..com,"),
        [(n, "email", "email_invalid") for n in (2, 3, 4)],
        [],
    ),
    Bad(
        "an address number",
        users("a,,x@10.0.0.1,", "b,,x@[10.0.0.1],"),
        [(n, "email", "email_invalid") for n in (2, 3)],
        [],
    ),
    # attributes
    Bad("a right-to-left override in a text", users("a,,,\u202etxt.exe"), [(2, "note", "hidden_character")], []),
    Bad("a control character in a text", users("a,,,x\x1by"), [(2, "note", "control_character")], []),
    Bad("a text without end", users("a,,," + "x" * 4_001), [(2, "note", "too_long")], []),
    Bad("formulas are only text here", users("a,,,=1+1", "b,,,@x", "c,,,-5"), [], ["a", "b", "c"]),
]


@pytest.mark.parametrize("bad", ROWS, ids=[bad.what for bad in ROWS])
def test_a_bad_row_is_told_with_line_column_and_reason(desk, bad: Bad):
    report = desk.take("users", bad.content, {"attributes": {"note": "note"}, **PHONES, **bad.mapping})
    assert desk.complaints(report) == bad.rejects
    if bad.kept is not None:
        assert [row[0] for row in desk.rows("select user_id from users order by 1")] == bad.kept


def events(*times: str) -> str:
    return "\n".join(("user,name,at", *(f"a,visited,{at}" for at in times))) + "\n"


TIMES = [
    Bad("a naive time", events("2026-01-02 03:04"), [(2, "at", "time_without_zone")], mapping={"zone": None}),
    Bad("a date only, without zone", events("2026-01-02"), [(2, "at", "time_without_zone")], mapping={"zone": None}),
    Bad("seconds since 1970", events("1767322800"), [(2, "at", "time_is_epoch")]),
    Bad("milliseconds since 1970", events("1767322800000"), [(2, "at", "time_is_epoch")]),
    Bad("24:00", events("2026-01-02T24:00+08:00"), [(2, "at", "time_invalid")]),
    Bad("second 60", events("2026-01-02T23:59:60Z"), [(2, "at", "time_invalid")]),
    Bad("day before month", events("02/01/2026", "01-02-2026"), [(2, "at", "time_invalid"), (3, "at", "time_invalid")]),
    Bad("a day that is not there", events("2026-02-30", "20260230"), [(n, "at", "time_invalid") for n in (2, 3)]),
    Bad("year 9999 and 0001", events("9999-12-31", "0001-01-01"), [(n, "at", "time_out_of_range") for n in (2, 3)]),
    Bad("the day after tomorrow", events("2026-03-04T10:00+08:00"), [(2, "at", "time_in_future")]),
    Bad("words", events("yesterday", "NaT"), [(n, "at", "time_invalid") for n in (2, 3)]),
    Bad("no time", events(""), [(2, "at", "missing")]),
    Bad("an offset nobody has", events("2026-01-02T00:00+25:00"), [(2, "at", "time_invalid")]),
    Bad("full-width digits in a time", events("２０２６-01-02"), [(2, "at", "time_invalid")]),
    Bad("half a date with hyphens", events("2026-0102"), [(2, "at", "time_invalid")]),
    Bad(
        "text in an epoch",
        events("soon", "-5"),
        [(n, "at", "time_invalid") for n in (2, 3)],
        mapping={"times": "epoch_s"},
    ),
    Bad("a far epoch", events("99999999999"), [(2, "at", "time_out_of_range")], mapping={"times": "epoch_s"}),
]


@pytest.mark.parametrize("bad", TIMES, ids=[bad.what for bad in TIMES])
def test_a_bad_time_is_told_with_line_column_and_reason(desk, bad: Bad):
    desk.take("users", "user\na\n")
    assert desk.complaints(desk.take("events", bad.content, {**ZONE, **bad.mapping})) == bad.rejects
    assert desk.rows("select * from events") == []


OTHERS = [
    (
        "events",
        "a bad event name",
        "user,name,at\na,访问,2026-01-01\na,1x,2026-01-01\na,,2026-01-01\n",
        [(2, "name", "name_invalid"), (3, "name", "name_invalid"), (4, "name", "missing")],
    ),
    ("events", "an unknown user", "user,name,at\nb,visited,2026-01-01\n", [(2, "user", "unknown_user")]),
    (
        "events",
        "an id that is taken",
        "user,name,at,id\na,visited,2026-01-01,7\na,visited,2026-01-02,7\n",
        [(3, "id", "key_taken")],
    ),
    ("events", "an id that is missing", "user,name,at,id\na,visited,2026-01-01,\n", [(2, "id", "missing")]),
    (
        "users",
        "an unknown, path-like or foreign zone",
        "user,zone\na,Mars/Base\nb,../../etc/passwd\nc,UTC+8\nd,/etc\n",
        [(n, "zone", "unknown_zone") for n in (2, 3, 4, 5)],
    ),
    ("users", "a birth in the future", "user,created_at\na,2030-01-01\n", [(2, "created_at", "time_in_future")]),
    (
        "users",
        "words that are no words",
        "user,locale,jurisdiction,is_test\na,Chinese!,,\nb,,China,\nc,,,maybe\n",
        [(2, "locale", "locale_invalid"), (3, "jurisdiction", "jurisdiction_invalid"), (4, "is_test", "flag_invalid")],
    ),
    (
        "users",
        "a push token that is none",
        "user,push\na,汉\nb,x y\n",
        [(2, "push", "control_character"), (3, "push", "control_character")],
    ),
    (
        "consents",
        "a consent in the future, ended before it began, on no channel, of unknown meaning, to nothing",
        "user,channel,purpose,granted,at,expires_at\n"
        "a,sms,m,yes,2027-01-01,\na,sms,m,yes,2026-01-01,2025-01-01\na,fax,m,yes,2026-01-01,\n"
        "a,sms,m,perhaps,2026-01-01,\na,sms,,yes,2026-01-01,\nb,sms,m,yes,2026-01-01,\n",
        [
            (2, "at", "time_in_future"),
            (3, "expires_at", "time_order"),
            (4, "channel", "unknown_channel"),
            (5, "granted", "flag_invalid"),
            (6, "purpose", "missing"),
            (7, "user", "unknown_user"),
        ],
    ),
    (
        "suppressions",
        "a stop of nobody, of an unknown kind, by a hash that is none, that is over",
        "phone,kind,hash,value,until\n,,,,\n,fax,,1,\n,phone,xyz,,\n,user,{},,\n+8613800138000,,,,2026-01-01\n".format(
            "0" * 64
        ),
        [
            (2, "", "nobody_named"),
            (3, "kind", "unknown_kind"),
            (4, "hash", "hash_invalid"),
            (5, "kind", "unknown_kind"),
            (6, "until", "already_over"),
        ],
    ),
    (
        "history",
        "a response before its message, an unknown user",
        "user,channel,at,responded_at\na,sms,2026-01-02,2026-01-01\nb,sms,2026-01-02,\na,,2026-01-02,\n",
        [(2, "responded_at", "time_order"), (4, "channel", "missing"), (3, "user", "unknown_user")],
    ),
]


@pytest.mark.parametrize(
    ("kind", "what", "content", "rejects"), OTHERS, ids=[f"{each[0]}: {each[1]}" for each in OTHERS]
)
def test_every_kind_of_import_tells_what_is_wrong(desk, kind: str, what: str, content: str, rejects: list):
    desk.take("users", "user\na\n")
    report = desk.take(kind, content, ZONE)
    assert desk.complaints(report) == rejects
    assert report.rejected == len(rejects)


WHOLE = [
    ("an empty file", b"", "is empty", {}),
    ("only empty lines", b"\n\n\n", "is empty", {}),
    ("a doubled column", b"user,phone,phone\na,1,2\n", "[phone]: two columns have this name", {}),
    (
        "a mapped column that is not there",
        b"user,phone\na,1\n",
        "[mobile]: has no such column",
        {"map": {"phone": "mobile"}},
    ),
    ("no column for what is needed", b"id,phone\na,1\n", "which column is `user`?", {}),
    ("an unknown field", b"user\na\n", "[telephone]: `telephone` is not a field here", {"map": {"telephone": "user"}}),
    (
        "a field that is mapped and set",
        b"user\na\n",
        "both mapped and set",
        {"map": {"user": "user"}, "set": {"user": "x"}},
    ),
    ("a million columns", b"user" + b",x" * 1_000_000 + b"\n", "begins with a line that is too long", {}),
    ("thousands of columns", ",".join(f"c{n}" for n in range(3000)).encode() + b"\n", "has 3000 columns", {}),
    ("an unclosed quote in the header", b'user,"phone\na,1\n', "the header cannot be read", {}),
    ("latin-1", "user,name\na,Müller\nb,Zoë\n".encode("latin-1"), ":2: this line is not UTF-8", {}),
    ("a wrong byte far down", b"user\n" + b"a\n" * 700_000 + b"\xff\n", ":700002: this line is not UTF-8", {}),
    ("a file cut in the middle of a character", "user\n汉".encode()[:-1], ":2: this line is not UTF-8", {}),
    ("UTF-16 without byte order mark", "user,phone\na,\n".encode("utf-16-le"), "looks like UTF-16", {}),
    ("UTF-16 asked for without byte order mark", b"user\na\n", "no byte order mark", {"encoding": "utf-16"}),
    ("UTF-32", codecs.BOM_UTF32_LE + "user\n".encode("utf-32-le"), "is UTF-32", {}),
    ("an encoding nobody reads", b"user\na\n", "latin-1 is not an encoding recall reads", {"encoding": "latin-1"}),
    ("GB 18030 that is none", b"user\n\xff\xff\n", ":2: this line is not GB18030", {"encoding": "gb18030"}),
    ("a gzip bomb", gzip.compress(b"0" * 1_000_000), "is compressed (gzip)", {}),
    ("an Excel workbook", b"PK\x03\x04rest", "Excel workbook", {}),
    ("an old Excel workbook", b"\xd0\xcf\x11\xe0rest", "old Excel workbook", {}),
    ("columns that are not named", b"a,1\n", "has no header", {"header": False}),
    (
        "more columns than named",
        b"a,1,2\n",
        "has 3 columns in its first row, but 2",
        {"header": False, "columns": ("user", "x")},
    ),
    (
        "an attribute name that cannot be one",
        "user,手机\na,1\n".encode(),
        "cannot be a name in rules",
        {"attributes": {"*": "*"}},
    ),
    ("properties of users", b"user,x\na,1\n", "properties cannot be imported here", {"properties": {"x": "x"}}),
]


@pytest.mark.parametrize(("what", "content", "message", "mapping"), WHOLE, ids=[each[0] for each in WHOLE])
def test_a_file_that_cannot_be_read_is_refused_whole_and_says_what_to_do(desk, what, content, message, mapping):
    with pytest.raises(BadFile) as caught:
        desk.take("users", content, mapping)
    assert message in str(caught.value)
    assert all(problem.hint for problem in caught.value.problems)
    assert desk.rows("select count(*) from users") == [(0,)]


def test_there_are_at_least_sixty_bad_cases():
    assert len(ROWS) + len(TIMES) + len(OTHERS) + len(WHOLE) >= 120


NORMALISED = [
    ("phone", "13800138000", "+8613800138000"),
    ("phone", "+8613800138000", "+8613800138000"),
    ("phone", "8613800138000", "+8613800138000"),
    ("phone", "0086 138-0013-8000", "+8613800138000"),
    ("phone", "+86 (138) 0013.8000", "+8613800138000"),
    ("phone", "＋８６１３８００１３８０００", "+8613800138000"),
    ("phone", "138\u00a00013\u20108000", "+8613800138000"),
    ("phone", "+1 212-555-0123", "+12125550123"),
    ("email", " Ann.Smith+News@Example.COM ", "ann.smith+news@example.com"),
    ("email", "ａｎｎ＠example．com", "ann@example.com"),
    ("email", "ann@bücher.example", "ann@xn--bcher-kva.example"),
    ("email", "ann@straße.de", "ann@xn--strae-oqa.de"),
    ("email", "ann@例子.中国", "ann@xn--fsqu00a.xn--fiqs8s"),
]


@pytest.mark.parametrize(("kind", "written", "kept"), NORMALISED)
def test_addresses_have_one_spelling(desk, kind: str, written: str, kept: str):
    assert desk.take("users", f"user,{kind}\na,{written}\n", PHONES).added == 1
    assert desk.rows("select value from addresses where id > 0") == [(kept,)]
