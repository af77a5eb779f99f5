"""Is every broken file told with file, line, what is wrong and what to write instead, and never with a traceback?"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeys.durations import Duration
from journeys.journey import CampaignAnchor, DateAnchor, Exit, Message, PolicyByJurisdiction, TriggerAnchor, Wait
from journeys.loader import load_journey, read_journey, read_policy, read_segment
from journeys.project import SHIPPED
from journeys.rules import Did
from journeys.words import Channel
from recall.errors import BadFile, Problem

SMALLEST = """\
schema: recall.journey/v1
id: settled-30d
title: Loan settled, not borrowed again in 30 days
policy: cn-consumer-finance
entry:
  anchor: loan_settled
  audience:
    all:
      - {did: loan_settled, between: [30d, 60d]}
      - {did_not: loan_drawn, since: loan_settled}
goal: {event: loan_drawn, window: 28d}
holdout: {percent: 10}
steps:
  - {push: come-back}
  - {wait: 3d}
  - {sms: come-back}
  - {wait: 3d}
  - {call: come-back}
"""


def problems_of(text: str | bytes, read=read_journey) -> list[Problem]:
    with pytest.raises(BadFile) as caught:
        read(text if isinstance(text, bytes) else text.encode(), "x.yaml")
    return caught.value.problems


def edited(old: str, new: str) -> str:
    assert old in SMALLEST
    return SMALLEST.replace(old, new, 1)


# What stands in the file, what is written in its place, the line, part of the message, part of the hint.
BROKEN = [
    ("goal: {event", "gaol: {event", 11, "`gaol` is not a key here", "did you mean goal?"),
    ("goal: {event", "gaol: {event", 1, "`goal` is missing", "add goal: {event: loan_drawn, window: 28d}"),
    ("title: Loan", "titel: Loan", 3, "`titel` is not a key here", "did you mean title?"),
    (
        "schema: recall.journey/v1",
        "schema: recall.journey/v2",
        1,
        "is not the schema",
        "write schema: recall.journey/v1",
    ),
    ("schema: recall.journey/v1\n", "", 1, "`schema` is missing", "add schema: recall.journey/v1"),
    ("id: settled-30d", "id: Settled 30d", 2, "'Settled 30d' is not an id", "settled-30d"),
    ("id: settled-30d", "id: settled-30d\nid: other", 3, "`id` is written twice, first on line 2", "keep one"),
    ("id: settled-30d", "id:", 2, "`id` has no value", "leave the line out"),
    ("id: settled-30d", "id: ~", 2, "`id` has no value", "write a value"),
    ("title: Loan settled, not", "title: Loan: settled, not", 3, "a second `: `", "in quotes"),
    ("title: Loan", "title: @Loan", 3, "a text may not begin with @", "put it in quotes"),
    ("title: Loan", 'title: "Loan', 3, "a quote is opened here and never closed", "close it"),
    ("title: Loan", "title: ${TITLE} Loan", 3, "nothing is filled in from the environment", ".env"),
    ("  anchor: loan_settled", "\tanchor: loan_settled", 6, "a tab stands where spaces are needed", "spaces only"),
    ("  anchor: loan_settled", "   anchor: loan_settled", 7, "indented differently", "line it up"),
    ("anchor: loan_settled", "anchor: [loan_settled]", 6, "needs a single value, not a list", "write one value"),
    ("anchor: loan_settled", "anchor: {atribute: due}", 6, "`atribute` is not an anchor", "did you mean attribute?"),
    (
        "anchor: loan_settled",
        "anchor: {attribute: due, before: 3d, after: 1d}",
        6,
        "exclude each other",
        "write one of them",
    ),
    ("anchor: loan_settled", "anchor: 3 days", 6, "is not an event name", "loan_settled"),
    ("anchor: loan_settled", "anchor: loan_settled\n  reentry: {after: 90}", 7, "'90' is not a duration", "such as 3d"),
    (
        "anchor: loan_settled",
        "anchor: loan_settled\n  overlap: sometimes",
        7,
        "is not known here",
        "allow, wait, never",
    ),
    ("anchor: loan_settled", "anchor: loan_settled\n  priority: high", 7, "is not a whole number", "digits only"),
    ("anchor: loan_settled", "anchor: loan_settled\n  rollout: 120%", 7, "is not a percentage", "0 to 100"),
    ("anchor: loan_settled", "anchor: loan_settled\n  schedule: every day", 7, "is not a cron line", "30 8 * * *"),
    ("between: [30d, 60d]", "between: [60d, 30d]", 9, "must be the shorter one", "[30d, 60d]"),
    ("between: [30d, 60d]", "between: [30d]", 9, "the list is too short", "both values"),
    ("between: [30d, 60d]", "between: 30d", 9, "`between` needs a list", "[30d]"),
    ("between: [30d, 60d]", "betwen: [30d, 60d]", 9, "`betwen` is not a key here", "did you mean between?"),
    (
        "between: [30d, 60d]",
        "between: [30d, 60d], times: {at_least: 2}",
        9,
        "between speaks of the latest",
        "one of them",
    ),
    ("{did_not: loan_drawn", "{didnt: loan_drawn", 10, "`didnt` does not begin a rule", "did you mean did_not?"),
    ("{did_not: loan_drawn, since: loan_settled}", "loan_drawn", 10, "is not a rule", "{did: visited"),
    ("{did_not: loan_drawn, since", "{attribute: a, above: .nan, since", 10, "is not a number", "write digits"),
    (
        "{did_not: loan_drawn, since: loan_settled}",
        "{attribute: a, above: lots}",
        10,
        "'lots' is not a number",
        "above: 10",
    ),
    ("{did_not: loan_drawn, since: loan_settled}", "{attribute: a}", 10, "no comparison is given", "exactly one of"),
    (
        "{did_not: loan_drawn, since: loan_settled}",
        "{attribute: a, is: b, below: 3}",
        10,
        "several comparisons",
        "one of",
    ),
    (
        "{did_not: loan_drawn, since: loan_settled}",
        "{clicked: a, opened: b}",
        10,
        "a reaction names one step",
        "one of",
    ),
    ("window: 28d", "window: 0d", 11, "a zero duration does nothing", "at least 1m"),
    ("window: 28d", "window: 4000d", 11, "longer than ten years", "a shorter time"),
    ("window: 28d", "window: 19:00", 11, "'19:00' is not a duration", "such as 3d"),
    ("window: 28d", "window: 28d, any: [x]", 11, "a goal needs one of event and any", "event: loan_drawn"),
    ("window: 28d", "window: [28d]", 11, "a list cannot stand here", "single value"),
    ("holdout: {percent: 10}", "holdout: {percent: ten}", 12, "'ten' is not a percentage", "such as 10"),
    ("holdout: {percent: 10}", "holdout: 10", 12, "`holdout` needs keys and values", "{key: value}"),
    ("holdout: {percent: 10}", "holdout: !!int 10", 12, "the tag !!int is not read", "leave it out"),
    ("holdout: {percent: 10}", "holdout: &a {percent: *a}", 12, "refers to the very thing", "write the values out"),
    ("holdout: {percent: 10}", "holdout: *none", 12, "*none refers to nothing", "name something"),
    ("holdout: {percent: 10}", "holdout: {<<: {percent: 10}}", 12, "merge keys", "write the keys out"),
    ("holdout: {percent: 10}", "holdout: {percent: 10", 12, "is never closed", "{key: value, key: value}"),
    ("holdout: {percent: 10}", "budget: {currency: CNY, total: 1e9}", 12, "'1e9' is not an amount", "decimal text"),
    ("holdout: {percent: 10}", "budget: {currency: yuan, total: 9}", 12, "is not a currency", "CNY"),
    ("holdout: {percent: 10}", "budget: {currency: CNY, total: .inf}", 12, "is not a number", "write digits"),
    ("holdout: {percent: 10}", "window: {sms: 09:00}", 12, "'09:00' is not a span", "09:00-20:00"),
    ("holdout: {percent: 10}", "window: {sms: 09:00-09:00}", 12, "is empty", "00:00-24:00"),
    ("holdout: {percent: 10}", "window: {sms: 09:00-25:00}", 12, "is not a clock time", "HH:MM"),
    ("holdout: {percent: 10}", "window: {fax: 09:00-20:00}", 12, "'fax' is not known here", "push, sms"),
    ("holdout: {percent: 10}", "approval: yes", 12, "neither true nor false", "write true or false"),
    ("holdout: {percent: 10}", "zone: Asia/Atlantis", 12, "is not a time zone", "Asia/Shanghai"),
    ("holdout: {percent: 10}", "zone: ../etc/passwd", 12, "is not a time zone", "Asia/Shanghai"),
    ("policy: cn-consumer-finance", "policy: {by: country, CN: x}", 4, "needs `by: jurisdiction`", "else: no_send"),
    ("policy: cn-consumer-finance", "policy: {by: jurisdiction, China: x}", 4, "is not a jurisdiction", "CN: cn-"),
    ("{push: come-back}", "{pusj: come-back}", 14, "`pusj` is not a step", "did you mean push?"),
    ("{push: come-back}", "{goto: push-1}", 14, "`goto` is not a step", "a jump is not needed"),
    ("{push: come-back}", "{push: come-back, sms: x}", 14, "stand in one step", "two steps"),
    ("{push: come-back}", "{push: come-back, wehn: {did: x}}", 14, "`wehn` is not a key here", "did you mean when?"),
    (
        "{push: come-back}",
        "{push: come-back, template: x}",
        14,
        "`template` is not a key here",
        "{push: template-name}",
    ),
    (
        "{push: come-back}",
        "{push: come-back, attempts: {max: 2, gap: 1h}}",
        14,
        "do not belong to push",
        "call or task",
    ),
    ("{push: come-back}", "{push: come-back, else: sms}", 14, "`else` takes another message", "else: {sms"),
    ("{push: come-back}", "push", 14, "`push` is not a step", "{push: come-back}"),
    ("{push: come-back}", "{}", 14, "an empty mapping is not a step", "{push: come-back}"),
    ("{wait: 3d}", "{wait: 0d}", 15, "a zero duration does nothing", "at least 1m"),
    ("{wait: 3d}", "{wait: -3d}", 15, "'-3d' is not a duration", "such as 3d"),
    ("{wait: 3d}", "{wait: 3}", 15, "'3' is not a duration", "such as 3d"),
    ("{wait: 3d}", "{wait: {until: {clicked: push-1}}}", 15, "until and at_most belong together", "at_most: 3d"),
    ("{wait: 3d}", "{wait: {until: {}, at_most: 3d}}", 15, "until waits for one thing", "exactly one of"),
    ("{wait: 3d}", "{wait: {next: thu 25:00}}", 15, "is not a weekday and clock time", "thu 11:00"),
    ("{wait: 3d}", "{wait: {next: thursday}}", 15, "is not a weekday and clock time", "thu 11:00"),
    ("{wait: 3d}", "{wait: {length: 3d}}", 15, "`length` is not a key here", "{wait: 3d}"),
    ("{wait: 3d}", "{wait: {unitl: {did: x}, at_most: 3d}}", 15, "`unitl` is not a key here", "did you mean until?"),
    ("{wait: 3d}", "{split: x}", 15, "`split` needs a list of ways", "{arm: a"),
    ("{wait: 3d}", "{split: [{arm: a, percent: 50}]}", 15, "`steps` is missing", "add steps"),
    ("{wait: 3d}", "{branch: [{steps: [exit]}]}", 15, "a case needs `when`", "{else: [...]} last"),
    ("{wait: 3d}", "{branch: [{else: [exit], when: {did: x}}]}", 15, "`else` stands alone", "{else: [...]}"),
    ("{wait: 3d}", "{branch: [{else: exit}]}", 15, "`else` needs a list of steps", "begin each step with -"),
    ("{wait: 3d}", "{exit: now}", 15, "'now' is not known here", "finished, exit_rule, operator"),
    ("{call: come-back}", "{call: come-back, on_outcome: {no: leave}}", 18, "is not known after an outcome", "exit"),
    ("{call: come-back}", "{call: come-back, on_outcome: exit}", 18, "needs outcomes", "{interested: exit"),
    ("{call: come-back}", "{call: come-back, on_outcome: {No!: exit}}", 18, "is not an outcome", "interested"),
    ("{call: come-back}", "{call: come-back, attempts: {max: 2}}", 18, "`gap` is missing", "add gap: 2h"),
    ("  - {call: come-back}\n", "  call: come-back\n", 18, "does not continue the list", "begin it with -"),
    ("  - {call: come-back}\n", "---\nid: two\n", 18, "a second document begins here", "a file of its own"),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"), BROKEN, ids=[f"{n}-{case[3][:30]}" for n, case in enumerate(BROKEN)]
)
def test_a_broken_journey_is_told_with_line_and_way_out(old, new, line, message, hint):
    found = problems_of(edited(old, new))
    assert any(
        problem.file == "x.yaml" and problem.line == line and message in problem.message and hint in problem.hint
        for problem in found
    ), [str(problem) for problem in found]


def test_no_problem_speaks_the_validators_own_prose():
    for old, new, *_ in BROKEN:
        for problem in problems_of(edited(old, new)):
            assert problem.hint
            for word in ("pydantic", "Input should", "Value error", "validation error", "Field required", "ctx"):
                assert word not in str(problem)


def test_every_problem_of_a_file_is_told_at_once():
    text = (
        edited("window: 28d", "window: soon").replace("percent: 10", "percent: ten").replace("{wait: 3d}", "{wait: x}")
    )
    assert [problem.line for problem in problems_of(text)] == [11, 12, 15, 17]


def test_the_path_names_the_key_as_the_file_spells_it():
    (problem,) = problems_of(edited("{sms: come-back}", "{sms: Come Back}"))
    assert (problem.line, problem.column) == (16, "steps[2].sms")


# Files that are wrong as a whole: bytes, line, message, hint.
UNREADABLE = [
    (b"", 1, "the file is empty", "schema: recall.journey/v1"),
    (b"# nothing but a remark\n", 1, "the file is empty", "begin with"),
    (b"- a\n- b\n", 1, "not a list of `key: value` lines", "begin with"),
    (b"just a text\n", 1, "not a list of `key: value` lines", "begin with"),
    (SMALLEST.encode("utf-16"), 1, "the file is UTF-16", "UTF-8"),
    (SMALLEST.replace("Loan", "L\xf6an").encode("latin-1"), 3, "this line is not UTF-8", "UTF-8"),
    (SMALLEST.replace("Loan", "Lo\x00an").encode(), 3, "the invisible character U+0000", "delete it"),
    (SMALLEST.replace("Loan", "Lo\x1ean").encode(), 3, "the invisible character U+001E", "delete it"),
    (SMALLEST.encode() + b"#" * 1_000_000, None, "bytes", "under 1000000"),
    (b"a: " + b"[" * 100 + b"]" * 100, 1, "more than 40 levels", "flatten"),
    (b"? [a, b]\n: c\n", 1, "where a key is needed", "key: value"),
    (b"%FOO bar\na: b\n", 1, "a line may not begin with %", "quotes"),
]


@pytest.mark.parametrize(("data", "line", "message", "hint"), UNREADABLE, ids=[case[2] for case in UNREADABLE])
def test_an_unreadable_file_is_told_with_line_and_way_out(data, line, message, hint):
    (problem,) = problems_of(data)
    assert problem.file == "x.yaml"
    assert problem.line == line
    assert message in problem.message
    assert hint in problem.hint


def test_a_bomb_of_aliases_is_refused_before_anything_walks_it():
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (problem,) = problems_of("\n".join(rows))
    assert problem.line == 2
    assert "aliases repeat more than 100 values" in problem.message


def test_a_few_aliases_are_read_as_if_they_were_written_out():
    text = edited("{push: come-back}", "&first {push: come-back}").replace("{sms: come-back}", "*first")
    journey = read_journey(text.encode(), "x.yaml").noun
    assert journey.steps[0] == journey.steps[2]


def test_fifty_megabytes_are_refused_by_their_size():
    (problem,) = problems_of(b"a" * 50_000_000)
    assert "50000000 bytes" in problem.message


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm():
    data = b"\xef\xbb\xbf" + SMALLEST.replace("\n", "\r\n").encode()
    loaded = read_journey(data, "x.yaml")
    assert loaded.noun == read_journey(SMALLEST.encode(), "x.yaml").noun
    assert loaded.line("steps", 2) == 16


def test_a_missing_file_is_told_without_a_traceback():
    with pytest.raises(BadFile) as caught:
        load_journey(Path("nowhere.yaml"))
    assert "cannot be read" in caught.value.problems[0].message


# --- what is read ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["9:30", "19:00", "1.10", "no", "on", "0012", "1_000", "true", "2026-03-01", "1e3"])
def test_a_scalar_stays_the_text_that_was_written(value):
    rule = "{attribute: a, is: " + value + "}"
    journey = read_journey(edited("{did_not: loan_drawn, since: loan_settled}", rule).encode(), "x").noun
    assert journey.entry.audience.all[1].equals == value


def test_the_smallest_journey_is_the_first_page_of_the_docs():
    assert (SHIPPED / "catalogue" / "settled-30d.yaml").read_text() == SMALLEST


def read(old: str, new: str):
    return read_journey(edited(old, new).encode(), "x.yaml").noun


def test_the_short_message_form_carries_its_options():
    text = "{push: hello, id: first, expires: 1d, link: app://x, else: {sms: hi, else: exit}}"
    message = read("{push: come-back}", text).steps[0]
    assert isinstance(message, Message)
    assert (message.channel, message.template, message.id) == (Channel.PUSH, "hello", "first")
    assert message.expires == Duration(days=1)
    assert message.otherwise == Message(channel=Channel.SMS, template="hi", otherwise="exit")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{wait: 3d}", Wait(length="3d")),
        ("{wait: {until: {clicked: push-1}, at_most: 3d}}", Wait(until={"clicked": "push-1"}, at_most="3d")),
        ("{wait: {until: {did: visited}, at_most: 12h}}", Wait(until={"did": "visited"}, at_most="12h")),
        ("{wait: {until_date: due_date}}", Wait(until_date="due_date")),
        ("{wait: {next: thu 11:00}}", Wait(next="thu 11:00")),
        ('{wait: {next: "thu 11:00"}}', Wait(next="thu 11:00")),
        ("exit", Exit()),
        ("{exit: exit_rule}", Exit(exit="exit_rule")),
    ],
)
def test_each_form_of_a_step_is_read(text, expected):
    assert read("{wait: 3d}", text).steps[1] == expected


def test_split_and_branch_hold_steps():
    text = (
        "{split: [{arm: a, percent: 50%, steps: [{push: x}]}, {arm: b, percent: 50, steps: [exit]}]}\n"
        "  - {branch: [{when: {clicked: push-1}, steps: [exit]}, {else: [{sms: y}]}]}"
    )
    steps = read("{wait: 3d}", text).steps
    assert [arm.percent for arm in steps[1].split] == [50, 50]
    assert [case.when is None for case in steps[2].branch] == [False, True]


def test_outcomes_of_a_call_lead_to_steps_or_words():
    text = "{call: x, attempts: {max: 3, gap: 2h}, on_outcome: {interested: [{wait: 1d}], declined: exit}}"
    call = read("{call: come-back}", text).steps[4]
    assert call.on_outcome == {"interested": (Wait(length="1d"),), "declined": "exit"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("loan_settled", "loan_settled"),
        ("{attribute: due_date, before: 3d}", DateAnchor(attribute="due_date", before="3d")),
        ("{trigger: came_by}", TriggerAnchor(trigger="came_by")),
        ("{campaign: spring}", CampaignAnchor(campaign="spring")),
    ],
)
def test_each_form_of_an_anchor_is_read(text, expected):
    assert read("anchor: loan_settled", f"anchor: {text}").entry.anchor == expected


def test_a_policy_by_jurisdiction_sends_nothing_elsewhere():
    policy = read("policy: cn-consumer-finance", "policy: {by: jurisdiction, CN: a, US: b}").policy
    assert policy == PolicyByJurisdiction(cases={"CN": "a", "US": "b"}, otherwise="no_send")


# --- policies and segments ------------------------------------------------------------------------------

POLICY = (SHIPPED / "policies" / "cn-consumer-finance.yaml").read_text()


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("windows:", "quite_hours: 1\nwindows:", "`quite_hours` is not a key here", "use one of"),
        ("{sends: 3, within: 7d}", "{sends: 0, within: 7d}", "0 is too small for `sends`", "the least is 1"),
        ("{sends: 3, within: 7d}", "{sends: 9, within: 7d}", "9 is too large for `sends`", "the most is 8"),
        ("{channel: sms, sends: 1", "{channel: sms, sends: 5", "more than is remembered of one channel", "at most 4"),
        ("{sends: 3, within: 7d}", "{sends: true, within: 7d}", "'true' is not a whole number", "digits only"),
        ("amount: 0.045", "amount: .nan", "is not a number", "write digits"),
        ("amount: 0.045", 'amount: "0,045"', "'0,045' is not an amount", "0.045"),
        ("amount: 0.045", "amount: 99999999999999", "is not an amount", "decimal text"),
        ("unit: segment", "unit: letter", "'letter' is not known here", "message, segment"),
        ("push: 09:00-21:00", "push: 9-21", "'9' is not a clock time", "HH:MM"),
        ("push: 09:00-21:00", "push: {workdays: 09:00-21:00}", "`workdays` is not a key here", "did you mean workday?"),
        ("jurisdiction: CN", "jurisdiction: China", "'China' is not a country code", "such as CN"),
        ("doubt_hold: 72h", "doubt_hold: 0h", "a zero duration does nothing", "at least 1m"),
        ("regions: {allow: [CN]}", "regions: {allow: CN}", "`allow` needs a list", "[CN]"),
        ("read_at: 2026-11-22", "read_at: yesterday", "'yesterday' is not a date", "2027-01-01"),
    ],
)
def test_a_broken_policy_is_told_with_line_and_way_out(old, new, message, hint):
    assert old in POLICY
    text = POLICY.replace(old, new, 1)
    line = text[: text.index(new)].count("\n") + 1
    found = problems_of(text, read_policy)
    assert any(p.line == line and message in p.message and hint in p.hint for p in found), [str(p) for p in found]


def test_the_same_hours_on_every_day_are_written_once():
    policy = read_policy(POLICY.encode(), "p.yaml").noun
    sms = policy.windows[Channel.SMS]
    assert sms.workday == sms.weekend == sms.holiday == ((540, 1200),)
    assert policy.windows[Channel.CALL].holiday == ((540, 1080),)


def test_money_is_read_exactly_in_micros():
    prices = read_policy(POLICY.encode(), "p.yaml").noun.prices
    assert [price.amount for price in prices.prices] == [45_000, 120_000]
    assert prices.new_user_cost == 60_000_000


def test_a_segment_is_a_named_rule():
    text = b"schema: recall.segment/v1\nid: quiet\nrule: {did: visited, within: 30d}\n"
    assert read_segment(text, "s.yaml").noun.rule == Did(did="visited", within="30d")


def test_a_segment_without_a_rule_says_what_to_add():
    (problem,) = problems_of("schema: recall.segment/v1\nid: quiet\n", read_segment)
    assert (problem.line, problem.message) == (1, "`rule` is missing")
    assert "rule: {did: visited" in problem.hint


PIECES = (
    "{",
    "]",
    ": ",
    "- ",
    "\n",
    "  ",
    "\t",
    "'",
    "&a ",
    "*a",
    "~",
    "{}",
    "[]",
    "0",
    "when",
    "else",
    "exit",
    "{wait: 3d}",
    "é",
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_is_done_to_a_file_only_problems_come_out(data):
    text = data.draw(
        st.sampled_from([(SHIPPED / "catalogue" / f"{n}.yaml").read_text() for n in ("granted-7d", "lapsed-28d")])
    )
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text = text[:at] + data.draw(st.sampled_from(PIECES)) + text[at + data.draw(st.integers(0, 12)) :]
    try:
        read_journey(text.encode(), "x.yaml")
    except BadFile as bad:
        assert all(problem.hint and problem.line for problem in bad.problems)


def test_a_route_may_name_a_provider_as_it_is_called():
    """The shipped ones have an underscore in their names."""
    shipped = (SHIPPED / "policies" / "cn-consumer-finance.yaml").read_bytes()
    changed = shipped.replace(
        b"sms: {providers: [outbox]", b"sms: {providers: [twilio_sms], senders: {twilio_sms: ['15']}"
    )
    assert read_policy(changed, "policy.yaml").noun.routes[Channel.SMS].senders_of("twilio_sms") == ("15",)
