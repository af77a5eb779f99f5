"""Is everything that was rejected kept, safely, so that it can be mended and imported?"""

from __future__ import annotations

import stat


def test_the_file_of_rejects_is_for_its_owner_only(desk):
    report = desk.take("users", "user,phone\na,123\n")
    assert stat.S_IMODE(report.rejects_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(report.rejects_path.parent.stat().st_mode) == 0o700


def test_without_rejects_there_is_no_file(desk):
    report = desk.take("users", "user\na\n")
    assert (report.rejects_path, report.reasons) == (None, {})
    assert not (desk.folder / "rejects").exists()


def test_a_rejected_row_is_kept_whole_and_is_no_formula(desk):
    report = desk.take("users", "user,phone,note\na,+861,\"=cmd|'/c calc'!A0\"\n", {"region": "CN"})
    [row] = desk.rejects(report)
    assert row["user"] == "a"
    assert row["phone"] == "'+861"
    assert row["note"] == "'=cmd|'/c calc'!A0"
    assert row["recall_hint"]


def test_a_row_without_columns_is_kept_as_it_stood(desk):
    report = desk.take("users", 'user,note\na,"x\nb,y,z\n')
    raw = [row["recall_raw"] for row in desk.rejects(report)]
    assert raw == ['a,"x', "b\x1fy\x1fz"]


def test_a_second_import_does_not_overwrite_the_first_rejects(desk):
    paths = {desk.take("users", "user,phone\na,123\n").rejects_path for _ in range(3)}
    assert len(paths) == 3


def test_nothing_is_written_through_a_link(desk):
    target = desk.folder / "precious"
    target.write_text("mine")
    first = desk.take("users", "user,phone\na,123\n").rejects_path
    first.unlink()
    first.symlink_to(target)
    assert desk.take("users", "user,phone\na,123\n").rejects_path != first
    assert target.read_text() == "mine"


def test_rejects_can_be_mended_and_imported_with_the_same_mapping(desk):
    mapping = {"map": {"phone": "mobile"}, "attributes": {"*": "*"}}
    report = desk.take("users", "user,mobile,note\na,13800138000,=x\nb,+8613900139000,-y\n", mapping)
    assert desk.complaints(report) == [(2, "mobile", "phone_without_country")]
    mended = report.rejects_path.read_text().replace("13800138000", "'+8613800138000")
    report.rejects_path.write_text(mended)
    again = desk.take("users", report.rejects_path, mapping)
    assert (again.added, again.rejected, again.ignored_columns) == (1, 0, ())
    assert desk.rows("select value from addresses where id > 0 order by 1") == [
        ("+8613800138000",),
        ("+8613900139000",),
    ]
    assert desk.rows("select name, value from user_attributes order by value") == [("note", "-y"), ("note", "=x")]


def test_rejects_of_a_file_without_header_can_be_imported_too(desk):
    mapping = {"header": False, "columns": ("user", "phone"), "delimiter": "whitespace", "encoding": "gb18030"}
    report = desk.take("users", " a  123\n", mapping)
    report.rejects_path.write_text(report.rejects_path.read_text().replace('"123"', '"+8613800138000"'))
    assert desk.take("users", report.rejects_path, mapping).added == 1


def test_rejects_of_rejects_do_not_grow_columns(desk):
    first = desk.take("users", "user,phone\na,123\n")
    second = desk.take("users", first.rejects_path)
    assert [list(row) for row in desk.rejects(second)] == [list(row) for row in desk.rejects(first)]
