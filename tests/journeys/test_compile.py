"""Does a journey become the program its file describes, with the same ids every time?"""

from __future__ import annotations

import pytest

from journeys.compile import compile_journey, compile_steps, inline_rule, ways_of
from journeys.journey import Journey
from journeys.loader import read_journey
from journeys.program import MessageNode, Program
from journeys.project import compile_project, shipped_project
from journeys.rules import All, Any_, Attribute, Did, None_, Segment
from journeys.steps import each_step, name_steps
from journeys.templates import Template
from recall.errors import Misconfigured

HEAD = """\
schema: recall.journey/v1
id: example
title: An example
policy: cn-consumer-finance
entry: {anchor: loan_settled, audience: {did: loan_settled, between: [30d, 60d]}}
goal: {event: loan_drawn, window: 28d}
steps:
"""

TEXT = {"en": {"body": "hello"}}
TEMPLATE = Template.model_validate(
    {"schema": "recall.template/v1", "id": "t"}
    | {channel: TEXT for channel in ("push", "sms", "email", "call", "in_app", "task")}
)


def journey(steps: str, head: str = HEAD) -> Journey:
    return read_journey((head + steps).encode(), "x.yaml").noun


def program(steps: str, segments=None) -> Program:
    return compile_journey(journey(steps), segments or {}, {"t": TEMPLATE})


def drawn(steps: str) -> list[str]:
    """Each node as `name -> next …` with waits in brackets, in the order of ids."""
    start, nodes = compile_steps(journey(steps))

    def way(to) -> str:
        waits = "".join(f"[{delay.length or delay.next}]" for delay in to.delays)
        return waits + (nodes[to.node].name if to.node is not None else "end")

    return [
        f"-> {way(start)}",
        *(f"{node.name} -> {', '.join(way(to) for to in ways_of(node))}".rstrip() for node in nodes),
    ]


def test_waits_become_delays_on_the_way():
    steps = (
        "  - {push: t}\n  - {wait: 3d}\n  - {sms: t}\n  - {wait: 3d}\n  - {wait: {next: thu 11:00}}\n  - {call: t}\n"
    )
    assert drawn(steps) == [
        "-> push-1",
        "push-1 -> [3d]sms-2",
        "sms-2 -> [3d][thu 11:00]call-3",
        "call-3 -> end",
    ]


def test_a_wait_may_stand_first_and_last():
    assert drawn("  - {wait: 1d}\n  - {push: t}\n  - {wait: 2d}\n") == ["-> [1d]push-1", "push-1 -> [2d]end"]


def test_messages_are_numbered_through_the_file_and_an_id_wins():
    steps = "  - {push: t}\n  - {in_app: t, id: card}\n  - {task: t}\n  - {in_app: t}\n"
    assert [node.name for node in program(steps).nodes] == ["push-1", "card", "task-3", "in-app-4"]


def test_else_is_a_step_of_its_own_that_rejoins_behind_its_owner():
    steps = "  - {push: t, else: {sms: t, else: {email: t}}}\n  - {wait: 1d}\n  - {call: t, else: exit}\n"
    assert drawn(steps) == [
        "-> push-1",
        "push-1 -> [1d]call-2, push-1-else",
        "push-1-else -> [1d]call-2, push-1-else-else",
        "push-1-else-else -> [1d]call-2",
        "call-2 -> end",
    ]
    nodes = program(steps).nodes
    assert [node.otherwise_exits for node in nodes] == [False, False, False, True]


def test_split_and_branch_rejoin_behind_themselves():
    steps = """\
  - split:
      - {arm: a, percent: 50, steps: [{push: t}, {wait: 1d}]}
      - {arm: b, percent: 50, steps: [{sms: t}]}
  - {wait: 2d}
  - branch:
      - {when: {clicked: push-1}, steps: [exit]}
      - {when: {clicked: sms-2}, steps: [{wait: 5d}]}
  - {call: t}
"""
    assert drawn(steps) == [
        "-> split-1",
        "split-1 -> push-1, sms-2",
        "push-1 -> [1d][2d]branch-1",
        "sms-2 -> [2d]branch-1",
        "branch-1 -> exit-1, [5d]call-3, call-3",
        "exit-1 ->",
        "call-3 -> end",
    ]


def test_the_last_case_of_a_branch_always_holds():
    with_else = "  - branch: [{when: {did: x}, steps: [exit]}, {else: [{push: t}]}]\n"
    without = "  - branch: [{when: {did: x}, steps: [exit]}]\n"
    for steps in (with_else, without):
        cases = program(steps).nodes[0].cases
        assert [rule is None for rule, _ in cases] == [False, True]


def test_waiting_for_something_is_a_node():
    steps = """\
  - {push: t}
  - {wait: {until: {clicked: push-1}, at_most: 3d}}
  - {wait: {until: {did: visited}, at_most: 1d}, id: visit}
  - {wait: {until_date: due_date}}
  - {sms: t}
"""
    nodes = program(steps).nodes
    assert [node.name for node in nodes] == ["push-1", "wait-1", "visit", "wait-3", "sms-2"]
    assert nodes[2].until == Did(did="visited", since="entry")
    assert nodes[3].attribute == "due_date"


def test_a_call_with_outcomes_is_followed_by_a_node_that_awaits_them():
    steps = """\
  - call: t
    attempts: {max: 3, gap: 2h}
    on_outcome: {interested: [{task: t}, {wait: 1d}], declined: exit}
    else: {sms: t}
  - {wait: 2d}
  - {push: t}
"""
    assert drawn(steps) == [
        "-> call-1",
        "call-1 -> call-1-outcome, call-1-else",
        "call-1-outcome -> [2d]push-3, task-2",
        "task-2 -> [1d][2d]push-3",
        "call-1-else -> [2d]push-3",
        "push-3 -> end",
    ]
    outcome = program(steps).nodes[1]
    assert (outcome.of, outcome.actions["declined"], str(outcome.within)) == (0, "exit", "1d")


def test_channels_after_are_those_of_every_message_still_possible():
    steps = """\
  - {push: t, else: {email: t}}
  - {wait: 1d}
  - split:
      - {arm: a, percent: 50, steps: [{sms: t}]}
      - {arm: b, percent: 50, steps: [{call: t}]}
"""
    after = {node.name: list(node.channels_after) for node in program(steps).nodes if isinstance(node, MessageNode)}
    assert after == {"push-1": ["sms", "email", "call"], "push-1-else": ["sms", "call"], "sms-2": [], "call-3": []}


def test_a_message_expires_three_days_after_it_was_first_due_unless_it_says_otherwise():
    nodes = program("  - {push: t}\n  - {sms: t, expires: 6h}\n").nodes
    assert [str(node.expires) for node in nodes] == ["3d", "6h"]


def test_two_steps_of_one_name_are_refused():
    with pytest.raises(Misconfigured, match="two steps are called 'sms-2'"):
        program("  - {push: t, id: sms-2}\n  - {sms: t}\n")


def test_a_template_that_is_not_there_is_refused():
    with pytest.raises(Misconfigured, match="no template 'other'"):
        program("  - {push: other}\n")
    with pytest.raises(Misconfigured, match="has no text for sms"):
        compile_journey(journey("  - {sms: t}\n"), {}, {"t": TEMPLATE.model_copy(update={"sms": {}})})


def test_only_the_texts_that_are_sent_belong_to_the_version():
    assert program("  - {push: t}\n").templates == {"t": {"push": {"en": {"body": "hello"}}}}
    changed = TEMPLATE.model_copy(update={"sms": {}})
    assert compile_journey(journey("  - {push: t}\n"), {}, {"t": changed}) == program("  - {push: t}\n")


# --- segments -------------------------------------------------------------------------------------------

RICH = Attribute(attribute="tier", one_of=("gold",))


def test_segments_are_replaced_by_their_rules_wherever_they_stand():
    head = HEAD.replace("audience: {did: loan_settled, between: [30d, 60d]}", "audience: {segment: rich}")
    head = head.replace("steps:", "exit_when: {none: [{segment: both}]}\nhold_when: {segment: rich}\nsteps:")
    steps = """\
  - {push: t, when: {segment: rich}, else: {sms: t, when: {segment: rich}}}
  - branch: [{when: {any: [{segment: rich}]}, steps: [{call: t, on_outcome: {ok: [{push: t, when: {segment: rich}}]}}]}]
"""
    segments = {"rich": RICH, "both": All(all=(Segment(segment="rich"),))}
    compiled = compile_journey(journey(steps, head), segments, {"t": TEMPLATE})
    assert "segment" not in compiled.model_dump_json(exclude_none=True)
    assert compiled.journey.exit_when == None_(none=(All(all=(RICH,)),))


def test_a_segment_that_contains_itself_is_refused():
    segments = {"a": Any_(any=(Segment(segment="b"),)), "b": None_(none=(Segment(segment="a"),))}
    with pytest.raises(Misconfigured, match="a > b > a"):
        inline_rule(Segment(segment="a"), segments)


def test_an_unknown_segment_is_refused():
    with pytest.raises(Misconfigured, match="no segment 'a'"):
        inline_rule(Segment(segment="a"), {})


# --- as stored ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(shipped_project().journeys))
def test_a_program_comes_back_from_the_store_as_it_went_in(name):
    compiled = compile_project(shipped_project())[name]
    stored = compiled.model_dump_json(exclude_none=True)
    again = Program.model_validate_json(stored)
    assert again == compiled
    assert again.model_dump_json(exclude_none=True) == stored


@pytest.mark.parametrize("name", sorted(shipped_project().journeys))
def test_ids_are_positions_and_every_way_leads_down(name):
    nodes = compile_project(shipped_project())[name].nodes
    assert [node.id for node in nodes] == list(range(len(nodes)))
    assert all(way.node is None or way.node > node.id for node in nodes for way in ways_of(node))


def test_steps_are_listed_with_their_place_in_the_file():
    steps = "  - {push: t, else: {sms: t}}\n  - branch: [{when: {did: x}, steps: [exit]}, {else: [{call: t}]}]\n"
    places = [place for place, _ in each_step(journey(steps).steps)]
    assert places == [
        ("steps", 0),
        ("steps", 0, "else"),
        ("steps", 1),
        ("steps", 1, "branch", 0, "steps", 0),
        ("steps", 1, "branch", 1, "else", 0),
    ]
    assert [named.name for named in name_steps(journey(steps).steps)] == [
        *("push-1", "push-1-else", "branch-1", "exit-1", "call-2")
    ]
