"""What is done while a process dies or an operation fails, and what must hold afterwards? What is kept, not sent.

Receipts, replies, one click, enrolling, forgetting, importing, publishing: done again after the crash, as whoever asked
would, the store must hold what it holds without a crash; and done once more, that must add nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import select

from journeys.project import load_project
from journeys.words import AddressKind, Channel, ReceiptKind
from providers.base import Address, ProviderEvent
from recall import intake
from recall.cli.init_files import files_of
from recall.clock import DAY, MINUTE
from recall.engine.converge import drain_receipts
from recall.engine.enrol import enrol
from recall.engine.publish import publish_project
from recall.errors import Misconfigured
from recall.intake import FileMapping, loading
from recall.settings import load
from recall.store import schema
from recall.store.erasure import empty_log, erase
from recall.store.people import NewAddress
from recall.store.receipts import Receipt
from recall.store.tokens import Preferred
from recall.store.versions import current_version
from recall.web.context import Web
from recall.web.inbox import Told, keep_together
from recall.web.preferences import Wish, _do
from tests.engine.conftest import Scene
from tests.faults.counted import counted_files
from tests.faults.ground import Site
from tests.faults.scripts import JOURNEY, PEOPLE, Script, people_enter, prepared, publish

# Rows that tell how something was done rather than what holds: a second try is counted and noted by itself.
PHONE = f"+86138{int.from_bytes(bytes(PEOPLE[1], 'ascii'), 'big'):08d}"  # as `Scene.add_user` gives it
HOW_DONE = {"imports", "sources", "entry_counts", "facts"}


def what_holds(scene: Scene) -> dict[str, list[str]]:
    """Every row of every table but how it was done, without the numbers the store gives out."""
    with scene.store.reading() as connection:
        return {
            table.name: sorted(repr(_said(row)) for row in connection.execute(select(table)).mappings())
            for table in schema.metadata.sorted_tables
            if table.name not in HOW_DONE
        }


def _said(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not (isinstance(value, int) and _is_number(name))}


def _is_number(name: str) -> bool:
    return name in ("id", "row") or name.endswith("_id")


def doing(name: str, prepare: Callable[[Site], None], act: Callable[[Scene], object]) -> Script:
    """Something that is asked for again until it is done, and then once more."""

    def acts(site: Site) -> None:
        with counted_files(site.folder), site.process() as scene:
            act(scene)

    def recover(site: Site) -> None:
        """The first time nothing went wrong: what holds then is what must hold ever after."""
        if "wanted" not in site.shared:
            site.shared["wanted"] = _look(site)
        for _ in range(2):
            acts(site)

    return Script(name, prepare, acts, recover, judge_kept)


def judge_kept(site: Site) -> Iterator[str]:
    wanted, found = site.shared["wanted"], _look(site)
    for table in wanted:
        if found[table] != wanted[table]:
            more = [row for row in found[table] if row not in wanted[table]]
            less = [row for row in wanted[table] if row not in found[table]]
            yield f"{table}: {len(found[table])} rows, wanted {len(wanted[table])}; more {more[:2]}, less {less[:2]}"


def _look(site: Site) -> dict[str, list[str]]:
    with site.process() as scene:
        return what_holds(scene)


# --- what vendors and people tell ----------------------------------------------------------------------------------


def _everybody_messaged(site: Site) -> None:
    prepared("  - {sms: words}")(site)
    with site.process() as scene:
        scene.run(JOURNEY)
        scene.later(MINUTE)


def _told(scene: Scene) -> list[Told]:
    """Three requests of a vendor: receipts, one that binds, and a reply that says stop."""
    refs, now = [row.ref for row in scene.sends()], scene.now
    receipts = [Receipt("outbox", f"d{n}", ref, ReceiptKind.DELIVERED, now) for n, ref in enumerate(refs)]
    stop = Receipt("outbox", "s", refs[0], ReceiptKind.OPTED_OUT, now)
    address = Address(AddressKind.PHONE, PHONE)
    reply = ProviderEvent("r", "", ReceiptKind.ANSWERED, now, "TD", Channel.SMS, address)
    return [Told("outbox", receipts), Told("outbox", [stop]), Told("outbox", [], [reply])]


def take_webhooks(scene: Scene) -> None:
    for error in keep_together(scene.setup, _told(scene)):
        if error is not None:
            raise error  # the vendor is answered 503, and posts again


def take_and_apply(scene: Scene) -> None:
    take_webhooks(scene)
    drain_receipts(scene.setup)


def _inbox_full(site: Site) -> None:
    _everybody_messaged(site)
    with site.process() as scene:
        take_webhooks(scene)


def one_click(scene: Scene) -> None:
    row = scene.row("u2")
    web = Web(scene.setup, load(), doors=None, inbox=None)  # type: ignore[arg-type]
    _do(web, Preferred(row.id, row.phone_id, Channel.SMS), Wish("one-click"))


def page_stop(scene: Scene) -> None:
    row = scene.row("u2")
    web = Web(scene.setup, load(), doors=None, inbox=None)  # type: ignore[arg-type]
    _do(web, Preferred(row.id, row.phone_id, Channel.SMS), Wish("stop"))


# --- who enters, who is forgotten ----------------------------------------------------------------------------------


def _candidates(site: Site) -> None:
    with site.process() as scene:
        publish(scene, "  - {sms: words}")
        for user in PEOPLE:
            scene.add_user(user, email=NewAddress(f"{user}@example.com"))
            scene.event(user, "loan_settled", at=scene.now - 40 * DAY)


def let_in(scene: Scene) -> None:
    with scene.store.reading() as connection:
        version = current_version(connection, JOURNEY)
    enrol(scene.store, version, now=scene.now, page_size=2)


CANARIES = ("canary-user", "+8613811112222", "canary@example.com", "token-canary", "canary-tier", "canary-property")


def _somebody(site: Site) -> None:
    with site.process() as scene:
        version = publish(scene, "  - {sms: words}\n  - {wait: 3d}\n  - {push: words}")
        email = NewAddress("canary@example.com")
        scene.add_user("canary-user", phone="+8613811112222", email=email, attributes={"tier": "canary-tier"})
        scene.event("canary-user", "visited", note="canary-property")
        people_enter(scene, version)
        scene.enrol(version, "canary-user")
        scene.run(JOURNEY)


def forget(scene: Scene) -> None:
    """As `recall erase` does; of who is forgotten already the log is emptied all the same."""
    try:
        with scene.store.writing() as connection:
            erase(connection, scene.store, user="canary-user", who="ada", why="asked", at=scene.now)
    finally:
        empty_log(scene.store)


def forget_again(site: Site) -> None:
    for _ in range(2):
        with site.process() as scene, suppress(Misconfigured):
            forget(scene)


def run_forget(site: Site) -> None:
    with site.process() as scene:
        forget(scene)


def judge_forgotten(site: Site) -> Iterator[str]:
    with site.process() as scene:
        kept = repr(what_holds(scene))
        yield from (f"pii: {canary} is in a table" for canary in CANARIES if canary in kept)
        for path in site.folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                yield from (f"pii: {canary} is in {path.name}" for canary in CANARIES if canary.encode() in content)
        with scene.store.reading() as connection:
            erased = connection.execute(select(schema.users).where(schema.users.c.erased_at.is_not(None))).all()
        if len(erased) != 1:
            yield f"lost: {len(erased)} users are marked as forgotten"


# --- other people's files ------------------------------------------------------------------------------------------

FILES = {
    "users": "user,phone,email\n" + "".join(f"f{n},1380013800{n},f{n}@example.com\n" for n in range(7)) + "bad,12,\n",
    "events": "user,name,at\n"
    + "".join(f"u{n % 6},visited,2026-02-0{n + 1}T10:00:00Z\n" for n in range(7))
    + "?,x,y\n",
    "consents": "user,channel,purpose,granted,at\n"
    + "".join(f"u{n % 6},push,marketing,{'no' if n == 6 else 'yes'},2026-02-0{n + 1}T10:00:00Z\n" for n in range(7)),
    "suppressions": "phone,reason\n" + "".join(f"1380013800{n},opted_out\n" for n in range(7)),
    "history": "user,channel,at\n" + "".join(f"u{n % 6},sms,2026-02-0{n + 1}T10:00:00Z\n" for n in range(7)),
}


def importing(kind: str) -> Script:
    def take(scene: Scene) -> None:
        """Chunks of two rows."""
        folder = Path(scene.outbox).parent
        (folder / f"{kind}.csv").write_text(FILES[kind])
        kept, loading.CHUNK = loading.CHUNK, 2
        try:
            verb = getattr(intake, f"import_{kind}")
            region = {"region": "CN"} if kind in ("users", "suppressions") else {}
            verb(
                scene.store, folder / f"{kind}.csv", FileMapping(), now=scene.now, rejects=folder / "rejects", **region
            )
        finally:
            loading.CHUNK = kept

    return doing(f"import {kind}", _candidates, take)


# --- publishing ----------------------------------------------------------------------------------------------------


def _project(site: Site) -> None:
    for name, content in files_of(["settled-30d", "granted-7d"]).items():
        path = site.folder / "growth" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def publish_all(scene: Scene) -> None:
    project = load_project(Path(scene.outbox).parent / "growth")
    publish_project(scene.store, project, now=scene.now, who="ada")


def judge_published(site: Site) -> Iterator[str]:
    if len(site.memory["halves"]) != 1:
        yield "half of it was published"
    yield from judge_kept(site)


def publishing() -> Script:
    """Besides: between crash and second try, everything is published or nothing is."""
    script = doing("publish", _project, publish_all)

    def recover(site: Site) -> None:
        rows = _look(site)
        site.memory["halves"] = {len(rows["policies"]) > 0, len(rows["journeys"]) == 2}
        script.recover(site)

    return replace(script, recover=recover, judge=judge_published)


KEEPING = (
    doing("webhook kept", _everybody_messaged, take_webhooks),
    doing("webhook applied", _inbox_full, take_and_apply),
    doing("one click", _everybody_messaged, one_click),
    doing("preference page", _everybody_messaged, page_stop),
    doing("enrol", _candidates, let_in),
    Script("erase", _somebody, run_forget, forget_again, judge_forgotten),
    *(importing(kind) for kind in FILES),
    publishing(),
)
