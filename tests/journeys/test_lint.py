"""Does lint find what cannot be meant, at the right line, and leave sound journeys alone?"""

from __future__ import annotations

import pytest

from journeys.lint import lint
from journeys.lint_policy import lint_policy
from journeys.loader import read_journey, read_policy, read_segment
from journeys.project import SHIPPED, lint_project, shipped_project
from journeys.templates import read_template
from recall.errors import Problem

SHIPPED_FILES = shipped_project()
CN = SHIPPED_FILES.policies["cn-consumer-finance"].noun
US = SHIPPED_FILES.policies["us-strict"].noun
POLICY_TEXT = (SHIPPED / "policies" / "cn-consumer-finance.yaml").read_text()
SMALLEST = (SHIPPED / "catalogue" / "settled-30d.yaml").read_text()

TEMPLATES = {
    loaded.noun.id: loaded.noun
    for loaded in (
        SHIPPED_FILES.templates["come-back"],
        read_template(
            b"""\
schema: recall.template/v1
id: words
push: {en: {title: Hello, body: Hi}}
sms: {en: {body: 'Hi. Reply STOP to opt out'}}
call: {en: {body: 'Hi, press 1, or 9 to stop these calls'}}
task: {en: {title: Call, body: Call back}}
email: {en: {subject: Hi, body: 'Hi. {{ link }} unsubscribe'}}
in_app: {en: {title: Hi, body: Hi}}
""",
            "words.yaml",
        ),
        read_template(b"schema: recall.template/v1\nid: bare\nsms: {en: {body: Hi}}\n", "bare.yaml"),
        read_template(
            b"schema: recall.template/v1\nid: long\nsms: {en: {body: '%b Reply STOP to opt out'}}\n" % (b"x" * 1600),
            "long.yaml",
        ),
        read_template(
            b"schema: recall.template/v1\nid: odd\npush: {en: {title: a, body: b}, de: {title: a, body: b}}\n"
            b"sms: {en: {body: 'Hi. Reply STOP to opt out'}}\n",
            "odd.yaml",
        ),
    )
}
SEGMENTS = {
    name: read_segment(f"schema: recall.segment/v1\nid: {name}\nrule: {rule}\n".encode(), "s.yaml").noun.rule
    for name, rule in {
        "sound": "{did: visited, within: 30d}",
        "round": "{any: [{segment: about}]}",
        "about": "{none: [{segment: round}]}",
    }.items()
}
OTHERS = {name: loaded.noun for name, loaded in SHIPPED_FILES.journeys.items() if name != "settled-30d"}


def problems(text: str, policies=None, others=None) -> list[Problem]:
    policies = policies or {CN.id: CN, US.id: US}
    return lint(
        read_journey(text.encode(), "x.yaml"), policies, TEMPLATES, SEGMENTS, OTHERS if others is None else others
    )


def edited(*pairs: tuple[str, str]) -> str:
    text = SMALLEST
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


# What is replaced by what, the line, whether it is an error, part of the message, part of the hint.
CALL = "  - {call: come-back}\n"
WAIT = "  - {wait: 3d}\n"
FOUND = [
    # names
    ("{sms: come-back}", "{sms: come-back, id: push-1}", 16, True, "two steps are called push-1", "an id of its own"),
    ("{sms: come-back}", "{sms: come-back, id: call-3}", 18, True, "two steps are called call-3", "an id of its own"),
    # policies
    (
        "policy: cn-consumer-finance",
        "policy: cn-consumer-finence",
        4,
        True,
        "there is no policy",
        "did you mean cn-consumer-",
    ),
    (
        "policy: cn-consumer-finance",
        "policy: {by: jurisdiction, US: cn-consumer-finance}",
        4,
        True,
        "cn-consumer-finance is a policy of CN",
        "a policy of US",
    ),
    # entry and ends
    (
        "anchor: loan_settled",
        "anchor: {campaign: x}\n  reentry: {after: 9d}",
        7,
        True,
        "a campaign is entered once",
        "leave",
    ),
    (
        "anchor: loan_settled",
        "anchor: loan_settled\n  reentry: {after: 9d, max: 0}",
        7,
        True,
        "let nobody in",
        "at least 1",
    ),
    ("anchor: loan_settled", "anchor: loan_settled\n  limit: {per_day: 0}", 7, True, "lets nobody in", "leave it out"),
    ("anchor: loan_settled", "anchor: loan_settled\n  rollout: 0%", 7, False, "nobody enters", "raise it"),
    ("anchor: loan_settled", "anchor: loan_setled", 6, False, "loan_setled", "did you mean loan_settled?"),
    ("anchor: loan_settled", "anchor: loan_settled\n  schedule: 61 8 * * *", 7, True, "is not a cron line", "*/15"),
    (
        "policy: cn-consumer-finance",
        "policy: cn-consumer-finance\nrun: '* * * * x'",
        5,
        True,
        "is not a cron line",
        "*/15",
    ),
    ("{did_not: loan_drawn, since: loan_settled}", "{clicked: push-1}", 10, True, "before entering", "use did"),
    ("since: loan_settled}", "since: entry}", 10, True, "there is no entry yet", "name an event"),
    ("goal: {event", "exit_when: {did: loan_drawn}\ngoal: {event", 11, False, "is the goal already", "leave it out"),
    ("window: 28d", "window: 5d", 11, False, "after the goal's window has closed", "lengthen"),
    ("holdout: {percent: 10}\n", "", 1, False, "without a holdout", "add holdout"),
    ("holdout: {percent: 10}", "holdout: {percent: 100}", 12, True, "everybody is held out", "a smaller share"),
    ("holdout: {percent: 10}", "holdout: {percent: 0}", 12, False, "measures nothing", "such as 10"),
    # limits
    ("holdout:", "budget: {currency: CNY, total: 0}\nholdout:", 12, True, "a budget of 0", "leave it out"),
    ("holdout:", "budget: {currency: CNY, per_user: 0.00}\nholdout:", 12, True, "a budget of 0", "leave it out"),
    ("holdout:", "budget: {currency: USD, total: 9}\nholdout:", 12, True, "the budget is in USD", "currency: CNY"),
    ("holdout:", "budget: {currency: CNY, total: 9, per_day: 10}\nholdout:", 12, False, "per day than in all", "lower"),
    ("holdout:", "ramp: [100, 0]\nholdout:", 12, True, "0 sends stops the ramp", "at least 1"),
    ("holdout:", "ramp: [100, 50]\nholdout:", 12, False, "the ramp goes down", "rising"),
    ("holdout:", "lanes: 0\nholdout:", 12, True, "0 lanes cannot run", "1 to 64"),
    # windows
    ("holdout:", "window: {sms: 20:00-23:00}\nholdout:", 12, True, "wholly outside the window", "09:00-20:00"),
    ("holdout:", "window: {call: []}\nholdout:", 12, True, "call is never open", "09:00-20:00"),
    ("holdout:", "window: {email: 10:00-12:00}\nholdout:", 12, False, "no step sends email", "drop its window"),
    (WAIT, "  - {wait: {next: thu 03:00}}\n", 15, False, "sms is closed at thu 03:00", "within 09:00-20:00"),
    # rules
    (
        "{did_not: loan_drawn, since: loan_settled}",
        "{segment: sond}",
        10,
        True,
        "no segment sond",
        "did you mean sound?",
    ),
    (
        "{did_not: loan_drawn, since: loan_settled}",
        "{segment: round}",
        10,
        True,
        "round > about > round",
        "in one of them",
    ),
    (
        "{did_not: loan_drawn, since: loan_settled}",
        "{journey: granted-7}",
        10,
        True,
        "no journey granted-7",
        "granted-7d",
    ),
    (
        "{sms: come-back}",
        "{sms: come-back, when: {segment: none-such}}",
        16,
        True,
        "no segment none-such",
        "use one of",
    ),
    # shape
    (
        CALL,
        "  - {split: [{arm: a, percent: 60, steps: [exit]}, {arm: b, percent: 50, steps: [exit]}]}\n",
        18,
        True,
        "the arms add up to 110 %",
        "100 in all",
    ),
    (CALL, "  - {split: [{arm: a, percent: 100, steps: [exit]}]}\n", 18, True, "two arms or more", "add an arm"),
    (
        CALL,
        "  - {split: [{arm: a, percent: 100, steps: [exit]}, {arm: b, percent: 0, steps: [exit]}]}\n",
        18,
        True,
        "nobody takes the arm b",
        "a share",
    ),
    (
        CALL,
        "  - {split: [{arm: a, percent: 50, steps: [exit]}, {arm: a, percent: 50, steps: [exit]}]}\n",
        18,
        True,
        "two arms are called a",
        "its own name",
    ),
    (
        CALL,
        "  - {split: [{arm: a, percent: 50, steps: []}, {arm: b, percent: 50, steps: [exit]}]}\n",
        18,
        True,
        "there is no step here",
        "or exit",
    ),
    (CALL, "  - {branch: [{when: {did: x}, steps: []}]}\n", 18, True, "there is no step here", "or exit"),
    (CALL, "  - {branch: [{else: [exit]}]}\n", 18, True, "a branch needs a case with `when`", "when"),
    (
        CALL,
        "  - {branch: [{else: [exit]}, {when: {did: x}, steps: [exit]}]}\n",
        18,
        True,
        "the cases after `else` are never taken",
        "put else last",
    ),
    (CALL, "  - {call: come-back, attempts: {max: 0, gap: 1h}}\n", 18, True, "0 attempts cannot be made", "1 to 5"),
    (CALL, "  - {call: come-back, attempts: {max: 9, gap: 1h}}\n", 18, True, "9 attempts cannot be made", "1 to 5"),
    (CALL, "  - {call: come-back, offer: {name: x, stock: 0}}\n", 18, True, "an offer with no stock", "how many"),
    (CALL, "  - {call: come-back, outcome_within: 1h}\n", 18, False, "no outcome is waited for", "on_outcome"),
    # reactions
    (
        CALL,
        "  - {call: come-back, when: {clicked: push-2}}\n",
        18,
        True,
        "no message is called push-2",
        "did you mean push-1?",
    ),
    (
        CALL,
        "  - {call: come-back, when: {none: [{answered: call-3}]}}\n",
        18,
        True,
        "call-3 has not been sent",
        "push-1, sms-2",
    ),
    (
        WAIT,
        "  - {wait: {until: {delivered: sms-2}, at_most: 3d}}\n",
        15,
        True,
        "sms-2 has not been sent",
        "name one of: push-1",
    ),
    (CALL, "  - {call: come-back, when: {clicked: sms-2}}\n", 18, False, "nobody can have clicked", "give it a link"),
    (CALL, "  - {call: come-back, when: {opened: sms-2}}\n", 18, False, "nobody can have opened", "delivered"),
    ("holdout:", "exit_when: {clicked: fax-1}\nholdout:", 12, True, "no message is called fax-1", "use one of"),
    # the way through
    (WAIT, "", 15, True, "sms-2 would follow push-1 at once", "put a wait between them"),
    (
        WAIT,
        "  - {branch: [{when: {did: x}, steps: [{wait: 1d}]}]}\n",
        16,
        True,
        "would follow push-1 at once",
        "put a wait",
    ),
    (WAIT, "  - exit\n", 16, True, "sms-2 is never reached", "the exit before it"),
    (
        WAIT,
        "  - {branch: [{when: {did: x}, steps: [exit]}, {else: [exit]}]}\n",
        16,
        True,
        "sms-2 is never reached",
        "drop it",
    ),
    (CALL, CALL + "  - {wait: 1d}\n", 19, False, "nothing comes after this wait", "drop it"),
    # messages
    ("{push: come-back}", "{push: come-bak}", 14, True, "there is no template come-bak", "did you mean come-back?"),
    ("{push: come-back}", "{email: come-back}", 14, True, "has no text for email", "add `email:`"),
    ("{sms: come-back}", "{sms: bare}", 16, True, "the en body of template bare has no opt-out text", "拒收请回复R"),
    ("{sms: come-back}", "{sms: long}", 16, True, "longer than 10 SMS segments", "shorten"),
    ("{sms: come-back}", "{sms: odd}", 16, False, "has no de text for sms", "the first language"),
    ("{sms: come-back}", "{email: words}", 16, True, "needs {{ link }} and this step has none", "add link"),
    (
        "{sms: come-back}",
        "{sms: words, link: https://example.com}",
        16,
        False,
        "does not show the link",
        "into its text",
    ),
    ("{push: come-back}", "{push: come-back, link: http://example.com}", 14, True, "is not a link", "https://"),
    ("{push: come-back}", "{push: come-back, link: javascript://x}", 14, True, "is not a link", "deep link"),
    ("{push: come-back}", "{push: come-back, link: 'https://{{ host }}/x'}", 14, True, "is not a link", "https://"),
    ("{push: come-back}", "{push: come-back, link: www.example.com}", 14, True, "is not a link", "https://"),
]


@pytest.mark.parametrize(
    ("old", "new", "line", "error", "message", "hint"),
    FOUND,
    ids=[f"{n}-{case[4][:40]}" for n, case in enumerate(FOUND)],
)
def test_lint_finds_what_cannot_be_meant(old, new, line, error, message, hint):
    found = problems(edited((old, new)))
    assert any(
        p.line == line and (p.severity == "error") is error and message in p.message and hint in p.hint for p in found
    ), [f"{p.severity} {p}" for p in found]


def test_a_sound_journey_is_left_alone():
    assert problems(SMALLEST) == []


def test_the_shipped_catalogue_has_no_error_and_asks_only_for_a_brand():
    found = lint_project(SHIPPED_FILES)
    assert {problem.message for problem in found} == {"the brand is still the example's"}
    assert {problem.severity for problem in found} == {"warning"}


SOUND = [
    "  - {wait: 1d}\n  - {push: words}\n",
    "  - {push: words}\n  - {wait: {until: {clicked: push-1}, at_most: 1d}}\n  - {sms: words}\n",
    "  - {push: words, else: {sms: words}}\n  - {wait: 1d}\n  - {call: words, when: {delivered: push-1-else}}\n",
    "  - {call: words, on_outcome: {yes: [{task: words, when: {answered: call-1}}]}}\n",
    "  - {split: [{arm: a, percent: 50, steps: [{push: words}]}, {arm: b, percent: 50, steps: [{sms: words}]}]}\n"
    "  - {wait: 1d}\n  - {call: words, when: {any: [{clicked: push-1}, {delivered: sms-2}]}}\n",
    "  - {push: words, link: example://loan}\n  - {wait: 1d}\n  - {email: words, link: https://example.com/a?b=c}\n",
]


@pytest.mark.parametrize("steps", SOUND)
def test_sound_steps_are_left_alone(steps):
    found = problems(SMALLEST[: SMALLEST.index("  - {push")] + steps)
    assert found == [], [str(problem) for problem in found]


def test_a_reaction_to_another_arm_is_refused():
    steps = """\
  - split:
      - {arm: a, percent: 50, steps: [{push: words}]}
      - {arm: b, percent: 50, steps: [{wait: 1d}, {sms: words, when: {clicked: push-1}}]}
"""
    (found,) = problems(SMALLEST[: SMALLEST.index("  - {push")] + steps)
    assert "push-1 has not been sent when this is asked" in found.message
    assert found.hint == "put a message before this"


def test_more_than_two_hundred_steps_are_refused_at_once():
    steps = "  - {push: come-back}\n  - {wait: 1d}\n" * 5000
    (found,) = [p for p in problems(SMALLEST[: SMALLEST.index("  - {push")] + steps) if p.severity == "error"]
    assert "10000 steps are too many" in found.message


def test_journeys_that_contend_for_the_same_people_are_told():
    twin = read_journey(SMALLEST.replace("settled-30d", "twin").encode(), "y").noun
    (found,) = problems(SMALLEST, others={"twin": twin})
    assert (found.severity, found.line) == ("warning", 6)
    assert "twin begins with the same anchor" in found.message
    ahead = twin.model_copy(update={"entry": twin.entry.model_copy(update={"priority": 90})})
    assert problems(SMALLEST, others={"twin": ahead}) == []


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        ({"windows": {}}, "gives push no window", "add one under windows"),
        ({"routes": {}}, "gives push no route", "add one under routes"),
        ({"brand_name": None}, "needs {{ brand }}", "add brand_name"),
    ],
)
def test_a_policy_that_does_not_carry_the_journey_is_told(change, message, hint):
    found = problems(SMALLEST, {CN.id: CN.model_copy(update=change)})
    assert any(message in p.message and hint in p.hint and p.severity == "error" for p in found)


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("sms: 09:00-20:00", "sms: []", "sms is never open", "09:00-20:00"),
        ("  sms: 09:00-20:00\n", "", "sms has a route and no window", "add windows"),
        ("  sms: {providers: [outbox], per_second: 100}\n", "", "sms has a window and no route", "add routes"),
        ("per_second: 500", "per_second: 0", "0 per second", "such as 10"),
        ("holdout: 5", "holdout: 100", "everybody is held out", "holdout: 5"),
        ("holdout: 5", "holdout: 5\nbudget_per_day: 0", "a budget of 0", "leave it out"),
        ("{channel: sms, sends", "{channel: push, sends", "push does not count to caps", "add push to counts"),
        ("permanent_after: 2", "permanent_after: 0", "for good at once", "such as 2"),
        ("start: [START", "start: [stop, START", "STOP means both", "one list"),
        ("calendar: CN", "calendar: ZZ", "no holiday calendar ZZ", "CN, US, DE"),
        ("  email: [退订, unsubscribe]\n", "", "no opt-out text is required of email", "add opt_out_text"),
    ],
)
def test_lint_finds_what_a_policy_cannot_mean(old, new, message, hint):
    assert old in POLICY_TEXT
    found = lint_policy(read_policy(POLICY_TEXT.replace(old, new, 1).encode(), "p.yaml"))
    assert any(message in p.message and hint in p.hint and p.line for p in found), [str(p) for p in found]
