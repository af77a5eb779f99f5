"""Does the SQL of a rule mean what the rule says? Against a slow oracle, and at every boundary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from sqlalchemy import Connection, select

from journeys.durations import Duration
from journeys.journey import Goal
from journeys.rules import Rule
from recall.clock import DAY, HOUR
from recall.errors import Misconfigured
from recall.store import schema
from recall.store.audience import Cutoffs, Scope, compile_goal, compile_rule
from recall.store.connect import Store
from tests.oracle.people import insert_passage, insert_reactions, write_people
from tests.oracle.rules import Contact, Event, Passage, Person, ago, came_back, holds

RULES: TypeAdapter[Rule] = TypeAdapter(Rule)
STEPS = {"push-1": 0, "sms-2": 1}
REACTIONS = ("delivered", "opened", "clicked", "answered")
E, U = schema.enrolments.alias("e"), schema.users.alias("u")
SHANGHAI, BERLIN, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York")

# Noon, and the half hours around the clock changes of 2026 (Berlin 29 March, New York 8 March and 1 November), so
# that some calendar shift of the durations below lands in the missing or the repeated hour.
MOMENTS = (
    (SHANGHAI, 1_772_416_800_000_000),
    (BERLIN, 1_774_827_000_000_000),  # 2026-03-30 01:30 +02:00
    (BERLIN, 1_774_830_600_000_000),  # 2026-03-30 02:30 +02:00: a day before, this hour was missing
    (NEW_YORK, 1_773_037_800_000_000),  # 2026-03-09 02:30 -04:00: likewise
    (NEW_YORK, 1_793_601_000_000_000),  # 2026-11-02 01:30 -05:00: a day before, this hour came twice
)
SPANS = (("1d", "3d"), ("1d", "7d"), ("1h", "1d"), ("90m", "2d"))  # (a, b) of one example


def parse(rule: object) -> Rule:
    return RULES.validate_python(rule)


def scope(cutoffs: Cutoffs) -> Scope:
    return Scope(U.c.id, cutoffs, entered_at=E.c.entered_at, enrolment_id=E.c.id, step_ids=STEPS)


def meant(connection: Connection, rule: Rule, *, now: int, zone: ZoneInfo) -> set[str]:
    """Users the rule means, asked within their enrolment in the journey `this`."""
    cutoffs = Cutoffs(zone)
    condition = compile_rule(rule, scope(cutoffs))
    inside = E.join(U, U.c.id == E.c.user_id).join(schema.journeys, schema.journeys.c.id == E.c.journey_id)
    found = select(U.c.user_id).select_from(inside).where(schema.journeys.c.name == "this", condition)
    neither = select(U.c.user_id).select_from(inside).where(schema.journeys.c.name == "this", condition.is_(None))
    values = cutoffs.values(now)
    assert connection.execute(neither, values).all() == [], "a rule is true or false, never unknown"
    return set(connection.execute(found, values).scalars())


def enter(connection: Connection, people: list[Person]) -> None:
    """Write people, each inside the journey `this`."""
    ids = write_people(connection, people)
    for person in people:
        enrolment = insert_passage(
            connection, ids[person.user], journey="this", values={"entered_at": person.entered_at}
        )
        insert_reactions(connection, enrolment, [(reaction, STEPS[step]) for reaction, step in person.reactions])


# --- against the oracle ---------------------------------------------------------------------------------

EVENTS = ("visited", "borrowed")
TEXTS = ("1", "2", "2.5", "-3", "007", "abc", "", "1e3", ".5", "1.", "9" * 32, "true", "1 ", "１", "a'b\"c")
NAMES = ("kind", "amount")

texts = st.sampled_from(TEXTS)
bounds = st.sampled_from(("-3", "1", "2", "2.5", "7"))


def comparisons() -> st.SearchStrategy[dict[str, Any]]:
    lists = st.lists(texts, min_size=1, max_size=3)
    return st.one_of(
        st.fixed_dictionaries({"is": texts}),
        st.fixed_dictionaries({"is_not": texts}),
        st.fixed_dictionaries({"one_of": lists}),
        st.fixed_dictionaries({"none_of": lists}),
        st.fixed_dictionaries({"known": st.sampled_from(("true", "false"))}),
        *[st.fixed_dictionaries({op: bounds}) for op in ("above", "below", "at_least", "at_most")],
    )


def event_rules(span: tuple[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    events = st.sampled_from(EVENTS)
    where = {"where": st.dictionaries(st.sampled_from(NAMES), comparisons(), min_size=1, max_size=2)}
    since = {"since": st.sampled_from((*EVENTS, "never", "entry"))}
    within = {"within": st.sampled_from(span)}
    few = st.sampled_from(("0", "1", "2"))
    times = {"times": st.fixed_dictionaries({}, optional={"at_least": few, "at_most": few})}
    between = st.sampled_from((span, ("0d", span[0]))).map(list)
    return st.one_of(
        st.fixed_dictionaries({"did": events}, optional=where | since | within | times),
        st.fixed_dictionaries({"did": events, "between": between}, optional=where | since),
        st.fixed_dictionaries({"did_not": events}, optional=where | since | within),
    )


def other_rules(span: tuple[str, str]) -> st.SearchStrategy[dict[str, Any]]:
    within = {"within": st.sampled_from(span)}
    ends = {"ended": st.sampled_from(("goal_reached", "finished"))}
    named = {"journey": st.sampled_from(("other", "other", "unheard-of"))}
    steps = st.sampled_from(sorted(STEPS))
    return st.one_of(
        st.tuples(st.sampled_from(NAMES), comparisons()).map(lambda pair: {"attribute": pair[0], **pair[1]}),
        st.fixed_dictionaries(named, optional=within | ends),
        st.fixed_dictionaries(named | {"active": st.just("true")}, optional=within | ends),
        st.fixed_dictionaries({"reachable": st.sampled_from(("phone", "email", "push", "none"))}),
        st.sampled_from(REACTIONS).flatmap(lambda reaction: st.fixed_dictionaries({reaction: steps})),
    )


def rules(span: tuple[str, str]) -> st.SearchStrategy[Rule]:
    def combined(parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
        several = st.lists(parts, min_size=1, max_size=3)
        return st.one_of(*[several.map(lambda rules, word=word: {word: rules}) for word in ("all", "any", "none")])

    leaves = st.one_of(event_rules(span), event_rules(span), other_rules(span))
    return st.one_of(leaves, st.recursive(leaves, combined, max_leaves=4)).map(parse)


def people(now: int, zone: ZoneInfo, span: tuple[str, str]) -> st.SearchStrategy[list[Person]]:
    """Three people who did everything at, or a microsecond after, a moment that the rules speak of."""
    cutoffs = [ago(now, Duration.parse(length), zone) for length in span]
    instants = st.sampled_from([now, *cutoffs, *[cutoff + 1 for cutoff in cutoffs]])
    properties = st.none() | st.dictionaries(st.sampled_from(NAMES), texts)
    events = st.lists(st.builds(Event, st.sampled_from(EVENTS), instants, properties), max_size=4)
    channels = st.frozensets(st.sampled_from(("sms", "call", "email", "push")))
    contacts = st.dictionaries(
        st.sampled_from(("phone", "email", "push")), st.builds(Contact, st.booleans(), st.booleans(), channels)
    )
    ended = st.builds(
        Passage,
        st.just("other"),
        instants,
        st.just("before"),
        instants,
        st.sampled_from(("goal_reached", "finished")),
        st.none() | instants,
    )
    inside = st.builds(Passage, st.just("other"), instants, st.just("now"))
    passages = st.tuples(st.lists(ended, max_size=1), st.lists(inside, max_size=1)).map(lambda pair: pair[0] + pair[1])
    reactions = st.frozensets(st.tuples(st.sampled_from(REACTIONS), st.sampled_from(sorted(STEPS))), max_size=3)
    attributes = st.dictionaries(st.sampled_from(NAMES), texts)

    def person(user: str) -> st.SearchStrategy[Person]:
        return st.builds(
            Person,
            st.just(user),
            events=events,
            attributes=attributes,
            contacts=contacts,
            passages=passages,
            entered_at=instants,
            reactions=reactions,
        )

    return st.tuples(*[person(f"u{n}") for n in range(3)]).map(list)


@given(data=st.data())
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_sql_means_whom_the_slow_oracle_means(store: Store, data: st.DataObject) -> None:
    (zone, now), span = data.draw(st.sampled_from(MOMENTS)), data.draw(st.sampled_from(SPANS))
    some = data.draw(people(now, zone, span))
    asked = data.draw(st.lists(rules(span), min_size=1, max_size=8))
    with store.engine.connect() as connection:
        enter(connection, some)
        for rule in asked:
            expected = {person.user for person in some if holds(rule, person, now=now, zone=zone)}
            assert meant(connection, rule, now=now, zone=zone) == expected, rule
        connection.rollback()


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_goal_is_an_event_later_than_the_moment_it_counts_from(store: Store, data: st.DataObject) -> None:
    zone, now = MOMENTS[0]
    some = data.draw(people(now, zone, SPANS[0]))
    where = data.draw(st.none() | st.dictionaries(st.sampled_from(NAMES), comparisons(), max_size=1))
    goal = Goal.model_validate({"any": ["visited", "borrowed"], "where": where, "window": "28d"})
    with store.engine.connect() as connection:
        enter(connection, some)
        reached = compile_goal(goal, scope(Cutoffs(zone)), after=E.c.entered_at)
        inside = E.join(U, U.c.id == E.c.user_id).join(schema.journeys, schema.journeys.c.id == E.c.journey_id)
        asked = select(U.c.user_id).select_from(inside).where(schema.journeys.c.name == "this", reached)
        found = set(connection.execute(asked).scalars())
        connection.rollback()
    assert found == {person.user for person in some if came_back(goal, person, after=person.entered_at)}


# --- boundaries, as the design words them ---------------------------------------------------------------


@pytest.fixture
def is_meant(store: Store, now: int) -> Callable[..., bool]:
    """Whether a rule means one person, in Shanghai unless told."""

    def ask(rule: object, person: Person, *, at: int = now, zone: ZoneInfo = SHANGHAI) -> bool:
        with store.engine.connect() as connection:
            enter(connection, [person])
            answer = meant(connection, parse(rule), now=at, zone=zone) == {person.user}
            connection.rollback()
        return answer

    return ask


Ask = Callable[..., bool]


@pytest.mark.parametrize(
    ("before_now", "inside"),
    [(60 * DAY, False), (60 * DAY - 1, True), (30 * DAY, True), (30 * DAY - 1, False), (45 * DAY, True)],
)
def test_between_leaves_out_its_older_end_and_keeps_its_newer(
    is_meant: Ask, now: int, before_now: int, inside: bool
) -> None:
    person = Person("a", [Event("settled", now - before_now)])
    assert is_meant({"did": "settled", "between": ["30d", "60d"]}, person) is inside


def test_between_speaks_of_the_latest_event_only(is_meant: Ask, now: int) -> None:
    person = Person("a", [Event("settled", now - 45 * DAY), Event("settled", now - 5 * DAY)])
    assert not is_meant({"did": "settled", "between": ["30d", "60d"]}, person)


def test_between_with_where_speaks_of_the_latest_event_that_passes(is_meant: Ask, now: int) -> None:
    person = Person(
        "a", [Event("settled", now - 45 * DAY, {"kind": "cash"}), Event("settled", now - 5 * DAY, {"kind": "card"})]
    )
    assert is_meant({"did": "settled", "between": ["30d", "60d"], "where": {"kind": {"is": "cash"}}}, person)
    assert not is_meant({"did": "settled", "between": ["30d", "60d"], "where": {"kind": {"is": "card"}}}, person)


def test_between_with_where_is_ended_by_a_later_event_that_passes_too(is_meant: Ask, now: int) -> None:
    cash = {"kind": "cash"}
    rule = {"did": "settled", "between": ["30d", "60d"], "where": {"kind": {"is": "cash"}}}
    assert is_meant(rule, Person("a", [Event("settled", now - 45 * DAY, cash), Event("settled", now - 30 * DAY, cash)]))
    late = [Event("settled", now - 45 * DAY, cash), Event("settled", now - 30 * DAY + 1, cash)]
    assert not is_meant(rule, Person("b", late))
    assert not is_meant(rule, Person("c", late[1:]))
    assert is_meant(rule, Person("d", [Event("settled", now - 30 * DAY, cash)]))


def test_within_and_since_are_both_asked_for(is_meant: Ask, now: int) -> None:
    person = Person("a", [Event("settled", now - 5 * DAY), Event("borrowed", now - 4 * DAY)])
    for within, inside in (("3d", False), ("5d", True), ("7d", True)):
        assert is_meant({"did": "borrowed", "since": "settled", "within": within}, person) is inside
    again = Person("b", [Event("borrowed", now - 2 * DAY), Event("settled", now - DAY)])
    assert not is_meant({"did": "borrowed", "since": "settled", "within": "3d"}, again)


@pytest.mark.parametrize(("before_now", "inside"), [(7 * DAY, False), (7 * DAY - 1, True), (0, True)])
def test_within_leaves_out_its_far_end(is_meant: Ask, now: int, before_now: int, inside: bool) -> None:
    person = Person("a", [Event("visited", now - before_now)])
    assert is_meant({"did": "visited", "within": "7d"}, person) is inside
    assert is_meant({"did_not": "visited", "within": "7d"}, person) is not inside


def test_a_day_in_the_journeys_zone_may_have_23_hours(is_meant: Ask) -> None:
    monday_noon = 1_774_864_800_000_000  # 2026-03-30 12:00 in Berlin; its clocks went forward the day before
    person = Person("a", [Event("visited", monday_noon - 2 * DAY + HOUR + 1)])
    assert is_meant({"did": "visited", "within": "2d"}, person, at=monday_noon, zone=BERLIN)
    earlier = Person("b", [Event("visited", monday_noon - 2 * DAY + HOUR)])
    assert not is_meant({"did": "visited", "within": "2d"}, earlier, at=monday_noon, zone=BERLIN)
    assert is_meant({"did": "visited", "within": "48h"}, earlier, at=monday_noon, zone=BERLIN)


def test_since_another_event_means_strictly_later(is_meant: Ask, now: int) -> None:
    same = Person("a", [Event("settled", now - DAY), Event("borrowed", now - DAY)])
    later = Person("b", [Event("settled", now - DAY), Event("borrowed", now - DAY + 1)])
    for person, inside in ((same, False), (later, True)):
        assert is_meant({"did": "borrowed", "since": "settled"}, person) is inside
        assert is_meant({"did_not": "borrowed", "since": "settled"}, person) is not inside


def test_since_an_event_that_never_happened_means_nobody(is_meant: Ask, now: int) -> None:
    person = Person("a", [Event("borrowed", now - DAY)])
    assert not is_meant({"did": "borrowed", "since": "settled"}, person)
    assert not is_meant({"did_not": "borrowed", "since": "settled"}, person)
    assert not is_meant({"did_not": "visited", "since": "settled"}, person)
    assert is_meant({"none": [{"did": "visited", "since": "settled"}]}, person)


def test_since_entry_counts_from_entering(is_meant: Ask, now: int) -> None:
    for at, inside in ((now - 1, False), (now, False), (now + 1, True)):
        person = Person("a", [Event("visited", at)], entered_at=now)
        assert is_meant({"did": "visited", "since": "entry"}, person) is inside


def test_at_most_alone_still_says_that_it_was_done(is_meant: Ask, now: int) -> None:
    for count, inside in ((0, False), (1, True), (2, True), (3, False)):
        person = Person("a", [Event("visited", now - n) for n in range(count)])
        assert is_meant({"did": "visited", "times": {"at_most": "2"}}, person) is inside


def test_a_missing_attribute_satisfies_only_that_it_is_not_known(is_meant: Ask) -> None:
    nobody = Person("a")
    for rule in ({"is": "0"}, {"is_not": "0"}, {"one_of": ["0"]}, {"none_of": ["0"]}, {"at_most": "0"}):
        assert not is_meant({"attribute": "overdue_days", **rule}, nobody)
    assert is_meant({"attribute": "overdue_days", "known": "false"}, nobody)


def test_a_property_that_is_no_number_is_neither_above_nor_below(is_meant: Ask, now: int) -> None:
    for text in ("", "abc", "1e400", "9" * 400, "--1", "1.2.3", "NaN", "Infinity", "0x10", "1\n"):
        person = Person("a", [Event("visited", now, {"amount": text})])
        for operator in ("above", "at_most"):
            assert not is_meant({"did": "visited", "where": {"amount": {operator: "1"}}}, person), text


def test_one_expression_answers_for_every_moment(store: Store, now: int) -> None:
    cutoffs = Cutoffs(SHANGHAI)
    asked = select(U.c.user_id).where(
        compile_rule(parse({"did": "visited", "between": ["1d", "3d"]}), Scope(U.c.id, cutoffs))
    )
    with store.engine.connect() as connection:
        write_people(connection, [Person("a", [Event("visited", now)])])
        answers = [connection.execute(asked, cutoffs.values(now + n * DAY)).scalars().all() for n in range(5)]
        connection.rollback()
    assert answers == [[], ["a"], ["a"], [], []]


@pytest.mark.parametrize("rule", [{"did": "visited", "since": "entry"}, {"clicked": "push-1"}])
def test_a_rule_about_somebody_inside_cannot_say_who_may_enter(rule: object) -> None:
    with pytest.raises(Misconfigured, match=r"inside the journey|not a step"):
        compile_rule(parse(rule), Scope(U.c.id, Cutoffs(SHANGHAI)))


def test_a_reaction_to_an_unknown_step_is_refused() -> None:
    with pytest.raises(Misconfigured, match="'push-9' is not a step"):
        compile_rule(parse({"clicked": "push-9"}), scope(Cutoffs(SHANGHAI)))


def test_a_segment_that_was_not_replaced_is_refused() -> None:
    with pytest.raises(Misconfigured, match="publish the journey again"):
        compile_rule(parse({"segment": "good-payers"}), scope(Cutoffs(SHANGHAI)))
