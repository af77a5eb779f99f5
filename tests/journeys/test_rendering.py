"""What will each person read: one text for each, in their language, whose values are only data."""

from __future__ import annotations

import pytest

from journeys.compile import compile_journey
from journeys.loader import read_journey
from journeys.rendering import Rendered, Renderer, RenderFailed, choose_locale
from journeys.template_syntax import FILTERS
from journeys.templates import read_template, variables
from journeys.words import Channel, Reason
from recall.errors import Misconfigured

JOURNEY = """\
schema: recall.journey/v1
id: example
title: An example
policy: cn-consumer-finance
entry: {anchor: loan_settled, audience: {did: loan_settled, between: [30d, 60d]}}
goal: {event: loan_drawn, window: 28d}
steps: [{%s: t}]
"""


def template(channel: str = "sms", values: str = "name: required", **texts: str):
    locales = "\n".join(f"  {locale.replace('_', '-')}: {text}" for locale, text in texts.items())
    source = f"schema: recall.template/v1\nid: t\nvalues: {{{values}}}\n{channel}:\n{locales}\n"
    return read_template(source.encode(), "t.yaml").noun


def renderer(channel: str = "sms", values: str = "name: required", brand: str = "", **texts: str) -> Renderer:
    journey = read_journey((JOURNEY % channel).encode(), "x.yaml").noun
    program = compile_journey(journey, {}, {"t": template(channel, values, **texts)})
    return Renderer(program, Channel(channel), "t", brand=brand)


def bodies(rendered) -> list[str]:
    return [text.body if isinstance(text, Rendered) else f"refused: {text.name} {text.detail}" for text in rendered]


HELLO = '{body: "Hi {{ name }}"}'


def test_a_chunk_is_rendered_in_order():
    rows = [{"name": f"n{number}"} for number in range(1000)]
    assert bodies(renderer(en=HELLO).render_many(rows, ["en"] * 1000)) == [f"Hi n{number}" for number in range(1000)]


def test_each_person_reads_their_own_language():
    texts = renderer(zh_CN='{body: "您好 {{ name }}"}', en=HELLO)
    rendered = texts.render_many([{"name": "a"}] * 5, ["en-GB", "zh_cn", "zh-TW", "fr", None])
    assert bodies(rendered) == ["Hi a", "您好 a", "您好 a", "您好 a", "您好 a"]
    assert [text.locale for text in rendered] == ["en", "zh-CN", "zh-CN", "zh-CN", "zh-CN"]


@pytest.mark.parametrize(
    ("available", "wanted", "chosen"),
    [
        (["en", "zh-CN"], "zh-CN", "zh-CN"),
        (["en", "zh-CN"], "ZH-cn", "zh-CN"),
        (["en", "zh-CN"], "zh", "zh-CN"),
        (["en", "zh-CN", "zh-TW"], "zh-HK", "zh-CN"),
        (["en-GB", "en"], "en-US", "en"),
        (["en", "zh-CN"], "de", "en"),
        (["en", "zh-CN"], "", "en"),
        (["en", "zh-CN"], None, "en"),
    ],
)
def test_a_locale_is_chosen_exactly_then_by_language_then_the_first(available, wanted, chosen):
    assert choose_locale(available, wanted) == chosen


def test_who_lacks_a_value_is_refused_and_the_others_are_written_to():
    rendered = renderer(en=HELLO).render_many([{"name": "a"}, {}, {"name": ""}, {"name": "b"}], ["en"] * 4)
    assert rendered[1] == RenderFailed(Reason.NO_TEMPLATE_VALUE, "name", "has no value")
    assert bodies(rendered) == ["Hi a", "refused: name has no value", "refused: name has no value", "Hi b"]


def test_a_default_stands_in_for_what_is_missing_or_empty():
    texts = renderer(values="name: {default: friend}", en=HELLO)
    assert bodies(texts.render_many([{"name": "a"}, {}, {"name": ""}], ["en"] * 3)) == [
        "Hi a",
        "Hi friend",
        "Hi friend",
    ]


def test_an_optional_value_is_asked_for():
    texts = renderer(
        values="limit: optional", en='{body: "Hi{% if limit is defined %} {{ limit | amount }}{% endif %}"}'
    )
    assert bodies(texts.render_many([{"limit": "20000"}, {}], ["en"] * 2)) == ["Hi 20,000", "Hi"]


def test_conditions_compare_values():
    texts = renderer(values="tier: required", en="""{body: "{% if tier == 'gold' %}first{% else %}soon{% endif %}"}""")
    assert bodies(texts.render_many([{"tier": "gold"}, {"tier": "x"}], ["en"] * 2)) == ["first", "soon"]


def test_link_and_brand_are_always_at_hand():
    texts = renderer(brand="Acme", en='{body: "{{ brand }} {{ link }}"}')
    assert bodies(texts.render_many([{"link": "https://x"}], ["en"])) == ["Acme https://x"]
    assert texts.variables == frozenset()


def test_the_attributes_to_read_are_those_of_every_language():
    texts = renderer(values="name: required, tier: required", en=HELLO, de='{body: "{{ tier }} {{ link }}"}')
    assert texts.variables == {"name", "tier"}
    assert variables(template(en=HELLO), Channel.SMS) == {"name"}
    assert variables(template(en=HELLO), Channel.PUSH) == frozenset()


def test_a_text_without_values_is_rendered_too():
    assert bodies(renderer(en="{body: Hi}").render_many([{}, {}], ["en", "en"])) == ["Hi", "Hi"]
    assert renderer(en="{body: Hi}").render_many([], []) == []


def test_title_and_subject_are_one_part_and_html_another():
    push = renderer("push", en='{title: "T {{ name }}", body: B}').render_many([{"name": "a"}], ["en"])[0]
    assert (push.title, push.body, push.html) == ("T a", "B", "")
    mail = renderer("email", en='{subject: "S {{ name }}", body: B, html: "<p>{{ name }}</p>"}')
    assert mail.render_many([{"name": "a"}], ["en"])[0] == Rendered("S a", "B", "<p>a</p>", "en")


def test_a_value_is_never_rendered_again():
    rendered = renderer(en=HELLO).render_many(
        [{"name": "{{ 7 * 7 }}"}, {"name": "{% if x %}"}, {"name": "b"}], ["en"] * 3
    )
    assert bodies(rendered)[2] == "Hi b"
    assert all("looks like a template" in body for body in bodies(rendered)[:2])


def test_html_values_are_escaped_and_plain_ones_are_not():
    texts = renderer("email", en='{subject: S, body: "{{ name }}", html: "<p>{{ name }}</p>"}')
    (mail,) = texts.render_many([{"name": "<script>&"}], ["en"])
    assert (mail.body, mail.html) == ("<script>&", "<p>&lt;script&gt;&amp;</p>")


def test_a_value_cannot_begin_another_mail_header():
    texts = renderer("email", en='{subject: "Hi {{ name }}", body: B}')
    (mail,) = texts.render_many([{"name": "a\r\nBcc: b"}], ["en"])
    assert mail.title == "Hi a Bcc: b"


@pytest.mark.parametrize("separator", ["\x1e", "\x1f"])
def test_a_value_with_a_separator_does_not_move_words_to_somebody_else(separator):
    rows = [{"name": "a"}, {"name": f"b{separator}c"}, {"name": "d"}]
    rendered = renderer("push", en='{title: T, body: "Hi {{ name }}"}').render_many(rows, ["en"] * 3)
    assert bodies(rendered) == ["Hi a", f"Hi b{separator}c", "Hi d"]


def test_a_text_grown_too_long_by_its_values_is_refused():
    rendered = renderer(en=HELLO).render_many([{"name": "x" * 5000}, {"name": "b"}], ["en"] * 2)
    assert bodies(rendered) == ["refused:  the text is longer than 4000 characters", "Hi b"]
    mail = renderer("email", en='{subject: S, body: "{{ name }}"}')
    assert isinstance(mail.render_many([{"name": "x" * 5000}], ["en"])[0], Rendered)
    assert isinstance(mail.render_many([{"name": "x" * 100_001}], ["en"])[0], RenderFailed)


@pytest.mark.parametrize("source", ["{{ 'x' * 200000000 }}", "{{ name.__class__ }}"])
def test_a_program_with_such_a_template_cannot_be_rendered(source):
    texts = renderer(en=HELLO)
    texts._texts["en"]["body"] = source
    with pytest.raises(Misconfigured):
        texts.render_many([{"name": "a"}], ["en"])


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_every_allowed_filter_works_on_a_text(name):
    texts = renderer(en='{body: "{{ name | FILTER }}"}'.replace("FILTER", name))
    assert bodies(texts.render_many([{"name": "abc"}], ["en"]))[0].lower() == "abc"
