"""Does a message really arrive? One message to one address, by the same code that carries journeys' messages.

It is in no ledger: its ref is "foreign" when logs are compared, and nothing waits for its receipt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from journeys.program import Program
from journeys.rendering import Renderer, RenderFailed
from journeys.template_syntax import BUILT_IN
from journeys.templates import check_texts, load_template
from journeys.words import ADDRESS_OF, CHANNEL_BIT, AddressKind, Channel
from providers.base import Address, Content, Outbound, Provider, SendResult
from recall.clock import MINUTE, Instant
from recall.engine.dispatch import Dispatcher
from recall.errors import BadFile, Misconfigured
from recall.settings import Settings
from recall.store.connect import Store
from recall.store.controls import read_controls, record_action
from recall.store.gate_pass import new_refs
from recall.store.suppression_flags import flags_for
from recall.store.tokens import open_doors

TEXT = "This is a test message of recall. You need not do anything."
TITLE = "Test message"
LIVES = 10 * MINUTE  # a validity period for vendors that queue
STEP = "send-test"


@dataclass(frozen=True)
class Letter:
    """What is sent to whom."""

    channel: Channel
    address: Address
    content: Content = field(repr=False)
    sender: str = ""


def content_of(
    project: Path, template: str, channel: Channel, values: Mapping[str, str], *, locale: str = ""
) -> Content:
    """A template of the project with these values, as a journey would write it."""
    loaded = load_template(project / "templates" / f"{template}.yaml")
    problems = check_texts(loaded)
    if problems:
        raise BadFile(problems)
    noun = loaded.noun
    texts = {where: text.parts() for where, text in noun.texts(channel).items()}
    if not texts:
        there = ", ".join(each.value for each in noun.channels)
        raise Misconfigured(f"the template {template} has no text for {channel}; it has texts for: {there}")
    program = Program.model_construct(  # type: ignore[call-arg]  # no journey: the renderer reads only these two
        templates={template: {channel: texts}}, values={template: noun.defaults()}
    )
    renderer = Renderer(program, channel, template, brand=values.get("brand", ""))
    missing = sorted(name for name in renderer.variables if not values.get(name) and name not in noun.defaults())
    built_in = sorted(name for name in BUILT_IN if renderer.uses(name) and not values.get(name))
    optional = {name for name, value in noun.values.items() if value.optional}
    if wanted := [name for name in (*missing, *built_in) if name not in optional]:
        raise Misconfigured(f"the template {template} needs values: {' '.join(f'--value {each}=…' for each in wanted)}")
    (written,) = renderer.render_many([values], [locale or None])
    if isinstance(written, RenderFailed):
        raise Misconfigured(f"the template {template} cannot be written: {written.name} {written.detail}".strip())
    return Content(written.body, written.title, written.html, values.get("link", ""), written.locale)


def refuse_unwanted(store: Store, provider: Provider, letter: Letter) -> None:
    """Raise Misconfigured where even a test may not go: kill switch, simulated store, somebody who said stop."""
    if store.fact("simulated") == "true" and not provider.caps.simulated:
        raise Misconfigured("this store is simulated, and this provider would message a real person; use another store")
    kind, value = letter.address.kind.value, letter.address.value
    with store.reading() as connection:
        if read_controls(connection).kill_switch is not None:
            raise Misconfigured("the kill switch is on: nothing is sent; `recall kill-switch off` allows it again")
        flags = flags_for(connection, kind, store.hash_address(kind, value))
    if flags.suppressed or flags.opted_out & CHANNEL_BIT[letter.channel]:
        raise Misconfigured("this address is suppressed or opted out, so not even a test goes there")


def send_test(
    store: Store, settings: Settings, provider: Provider, letter: Letter, *, who: str, now: Instant
) -> SendResult:
    """Send it; the audit keeps who, provider and ref, never the address."""
    refuse_unwanted(store, provider, letter)
    (ref,) = new_refs(1)
    meta = {"journey": STEP, "step": STEP}
    if settings.public_url:
        doors = open_doors(settings)
        meta["callback"] = doors.hook(provider.name, ref)
        if letter.channel is Channel.CALL:
            meta["voice"] = doors.voice(provider.name, ref)
    outbound = Outbound(ref, letter.channel, STEP, letter.address, letter.content, letter.sender, now + LIVES, meta)
    with store.writing() as connection:
        record_action(connection, STEP, f"{provider.name} {ref}", who=who, why="", at=now)
    dispatcher = Dispatcher()
    called = dispatcher.call(provider, [outbound])
    dispatcher.run(provider.close())
    if called.down is not None:
        raise called.down
    return called.results[0]


def kind_for(channel: Channel) -> AddressKind:
    """What a test on this channel is addressed to; raises Misconfigured for channels without addresses."""
    kind = ADDRESS_OF[channel]
    if kind is AddressKind.NONE:
        raise Misconfigured(f"{channel} messages are rows of the ledger and go nowhere; there is nothing to test")
    return kind
