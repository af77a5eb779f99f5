"""What does a template file say, and is a mistake in it told with its line and the way out?"""

from __future__ import annotations

import pytest

from journeys.templates import check_texts, read_template
from recall.errors import BadFile

FILE = """\
schema: recall.template/v1
id: t
values:
  name: required
sms:
  en:
    body: Hi {{ name }}
push:
  en:
    title: Hello
    body: Hi
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("id: t", "id: T t", 2, "is not an id", "settled-30d"),
        ("name: required", "name: needed", 4, "'needed' does not say what if it is missing", "{default: …}"),
        ("name: required", "link: required", 4, "`link` is a word of the templates themselves", "another name"),
        ("name: required", "loop: required", 4, "`loop` is a word of the templates themselves", "another name"),
        ("name: required", "na-me: required", 4, "is not an attribute name", "overdue_days"),
        ("sms:", "smss:", 5, "`smss` is not a key here", "did you mean sms?"),
        ("  en:\n    body: Hi {{", "  english-language-x-very-long:\n    body: Hi {{", 6, "is not a locale", "zh-CN"),
        ("body: Hi {{ name }}", "bdy: Hi", 7, "`bdy` is not a key here", "did you mean body?"),
        ("body: Hi {{ name }}", "title: Hi", 6, "`body` is missing", "add body"),
        ("body: Hi {{ name }}", "body: {{ name }}", 7, "where a key is needed", '"{{ name }}"'),
        ("  en:\n    body: Hi {{ name }}", "  en: {body: Hi {{ name }}}", 6, "without quotes", '"… {{ name }} …"'),
        ("body: Hi {{ name }}", "body:", 7, "`body` has no value", "write a value"),
    ],
)
def test_a_broken_template_file_is_told_with_line_and_way_out(old, new, line, message, hint):
    assert old in FILE
    with pytest.raises(BadFile) as caught:
        read_template(FILE.replace(old, new, 1).encode(), "t.yaml")
    found = caught.value.problems
    assert any(p.line == line and message in p.message and hint in p.hint for p in found), [str(p) for p in found]


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        ("Hi {{ nmae }}", "`nmae` is not declared", "nmae: required"),
        ("Hi {{ name | center }}", "there is no filter `center`", "amount, capitalize"),
        ("Hi {{ name", "not readable as a template", "close every {{"),
        ("{{ name * 3 }}", "arithmetic (*) may not stand in a template", "only values, filters and if"),
    ],
)
def test_a_text_that_cannot_be_rendered_is_told_at_its_line(body, message, hint):
    loaded = read_template(FILE.replace("body: Hi {{ name }}", f'body: "{body}"').encode(), "t.yaml")
    (problem,) = check_texts(loaded)
    assert (problem.line, problem.column) == (7, "sms.en.body")
    assert message in problem.message
    assert hint in problem.hint


def test_a_template_without_any_text_is_refused():
    with pytest.raises(BadFile) as caught:
        read_template(b"schema: recall.template/v1\nid: t\n", "t.yaml")
    assert "has no text" in caught.value.problems[0].message
