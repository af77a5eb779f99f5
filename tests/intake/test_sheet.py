"""Are the rows of a file exactly those that were written?"""

from __future__ import annotations

import csv
import hashlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recall.errors import BadFile
from recall.intake.formulas import neutral, plain
from recall.intake.reasons import WHAT_TO_DO, Reason
from recall.intake.sheet import Layout, Row, open_sheet


def sheet_rows(path: Path, content: bytes, layout: Layout = Layout()) -> list[Row]:  # noqa: B008  (frozen)
    path.write_bytes(content)
    with open_sheet(path, layout) as sheet:
        return list(sheet.rows())


text = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
cells = st.lists(text, min_size=2, max_size=2)


@given(
    rows=st.lists(cells, max_size=8),
    delimiter=st.sampled_from([",", ";", "|", "\t"]),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_whatever_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows, delimiter, ends):
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator=ends).writerows([["a", "b"], *rows])
    path = tmp_path_factory.getbasetemp() / "written.csv"
    read = sheet_rows(path, written.getvalue().encode())
    headers = [row for row in rows if row[0].strip() == "a" and row[1].strip() in ("b", "")]
    assert [list(row.cells) for row in read if row.fault is None] == [row for row in rows if row not in headers]
    assert [row.line for row in read] == list(range(2, len(rows) + 2))


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_a_neutral_cell_is_no_formula_and_is_got_back(cell: str):
    assert plain(neutral(cell)) == cell
    assert not neutral(cell).lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝", " =", "'="])
def test_every_formula_is_made_text(start: str):
    assert neutral(f"{start}1+1") == f"'{start}1+1"


def test_blanks_may_delimit(tmp_path: Path):
    layout = Layout(header=False, columns=("id", "date", "amount"), delimiter="whitespace")
    rows = sheet_rows(tmp_path / "f.txt", b" 00004 19970101   29.33\r\n\t00005\t19970102 1.00  \r\n", layout)
    assert [row.cells for row in rows] == [["00004", "19970101", "29.33"], ["00005", "19970102", "1.00"]]
    assert [row.line for row in rows] == [1, 2]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("姓名,城市\n张伟,北京\n李娜,上海\n", "gb18030"),
        ("user,city\n1,北京\n2,上海\n3,朱镕基路\n" + "4,上海浦东新区世纪大道\n" * 20, "gbk"),
        ("user,city\n1,北京\n", "utf-8"),
        ("user,city\n1,北京\n", "utf-8-sig"),
        ("user,city\n1,北京\n", "utf-16"),
    ],
)
def test_the_encoding_is_told_by_the_file(tmp_path: Path, text: str, encoding: str):
    rows = sheet_rows(tmp_path / "f.csv", text.encode(encoding))
    assert [",".join(row.cells) for row in rows] == text.splitlines()[1:]


def test_rare_characters_need_the_encoding_said(tmp_path: Path):
    content = "user,city\n1,龘靐齉\n".encode("gb18030")
    with pytest.raises(BadFile, match="say --encoding gb18030"):
        sheet_rows(tmp_path / "f.csv", content)
    assert sheet_rows(tmp_path / "f.csv", content, Layout(encoding="gb18030"))[0].cells == ["1", "龘靐齉"]


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path):
    path = tmp_path / "f.csv"
    path.write_bytes(b"a,b\n1,2\n")
    with open_sheet(path, Layout()) as sheet:
        assert sheet.hash == hashlib.sha256(b"a,b\n1,2\n").hexdigest()


class TestMultiline:
    LAYOUT = Layout(multiline=True)

    def test_quoted_text_may_span_lines(self, tmp_path: Path):
        rows = sheet_rows(tmp_path / "f.csv", b'a,b\n1,"x\ny\n\nz"\n2,w\n', self.LAYOUT)
        assert [(row.line, row.cells) for row in rows] == [(2, ["1", "x\ny\n\nz"]), (6, ["2", "w"])]

    def test_a_quote_that_is_never_closed_costs_its_own_line_only(self, tmp_path: Path):
        rows = sheet_rows(tmp_path / "f.csv", b'a,b\n1,"x\n2,w\n3,"q"\n', self.LAYOUT)
        assert [(row.line, row.fault) for row in rows] == [(2, Reason.UNCLOSED_QUOTE), (3, None), (4, None)]

    def test_lines_that_join_to_the_wrong_width_are_taken_apart_again(self, tmp_path: Path):
        rows = sheet_rows(tmp_path / "f.csv", b'a,b\n1,"x\n2,w\n3",q\n4,v\n', self.LAYOUT)
        assert [(row.line, row.fault) for row in rows] == [
            (2, Reason.UNCLOSED_QUOTE),
            (3, None),
            (4, None),
            (5, None),
        ]


def test_a_file_that_changes_while_it_is_read_is_told(tmp_path: Path):
    path = tmp_path / "f.csv"
    path.write_text("a\n1\n")
    with open_sheet(path, Layout()) as sheet:
        sheet.refuse_changed()
        with path.open("a") as file:
            file.write("2\n")
        with pytest.raises(BadFile, match="changes while it is read"):
            sheet.refuse_changed()


def test_a_link_is_followed_once_so_that_changing_it_changes_nothing(tmp_path: Path):
    (tmp_path / "one.csv").write_text("a\n1\n")
    (tmp_path / "two.csv").write_text("a\n2\n")
    link = tmp_path / "latest.csv"
    link.symlink_to(tmp_path / "one.csv")
    with open_sheet(link, Layout()) as sheet:
        link.unlink()
        link.symlink_to(tmp_path / "two.csv")
        assert [row.cells for row in sheet.rows()] == [["1"]]


def test_only_files_are_read(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(BadFile, match="is not a file"):
            open_sheet(path, Layout())
    with pytest.raises(BadFile, match="cannot be read"):
        open_sheet(tmp_path / "missing.csv", Layout())


def test_a_problem_names_the_file_and_never_its_folder(tmp_path: Path):
    path = tmp_path / "f.csv"
    path.write_bytes(b"")
    with pytest.raises(BadFile) as caught:
        open_sheet(path, Layout())
    assert str(tmp_path) not in str(caught.value)


def test_there_is_something_to_do_about_every_reason():
    assert set(WHAT_TO_DO) == set(Reason)
