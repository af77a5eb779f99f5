"""Which Jinja may a template use: no loop, no call, no way out, and refused before anything is compiled."""

from __future__ import annotations

import time

import pytest

from journeys.template_syntax import amount, names_in
from recall.errors import Misconfigured

ATTACKS = [
    "{{ 'x' * 200000000 }}",
    "{{ 9 ** 99999999 }}",
    "{{ name + name }}",
    "{{ name ~ name }}",
    "{{ name % 3 }}",
    "{{ -name }}",
    "{% for a in range(100000000) %}x{% endfor %}",
    "{% for a in name %}x{% endfor %}",
    "{{ range(10) }}",
    "{{ name.__class__ }}",
    "{{ name['__class__'] }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ name | attr('__class__') }}",
    "{{ name | center(100000000) }}",
    "{{ 'x' | format(name) }}",
    "{{ name | map('upper') }}",
    "{{ name is callable }}",
    "{{ lipsum() }}",
    "{{ cycler }} {{ self }}",
    "{{ loop }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% extends 'base' %}",
    "{% set a = name %}",
    "{% macro f() %}{{ f() }}{% endmacro %}",
    "{% call f() %}{% endcall %}",
    "{% filter upper %}x{% endfilter %}",
    "{% block a %}{% endblock %}",
    "{% raw %}{{ name }}{% endraw",
    "{% with a = name %}{% endwith %}",
    "{% autoescape false %}{% endautoescape %}",
    "{{ [name, name] }}",
    "{{ {'a': name} }}",
    "{{ name",
    "{% if name %}",
]


@pytest.mark.parametrize("source", ATTACKS)
def test_what_a_template_may_not_do_is_refused_before_it_is_compiled(source):
    begun = time.monotonic()
    with pytest.raises(Misconfigured):
        names_in(source)
    assert time.monotonic() - begun < 5  # `'x' * 200000000` alone took 4.7 s when it was evaluated


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("20000", "20,000"),
        ("1234567.50", "1,234,567.50"),
        ("999", "999"),
        ("-5", "-5"),
        ("many", "many"),
        ("1.x", "1.x"),
    ],
)
def test_an_amount_gets_its_thousands_apart(value, expected):
    assert amount(value) == expected
