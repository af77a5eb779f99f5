"""Is a store refused when it could forget, or when its key is not the one it was made with?"""

from __future__ import annotations

import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select, text

from recall.clock import Instant, SystemClock
from recall.errors import Misconfigured, StoreBusy
from recall.settings import Settings, load
from recall.store import connect, schema
from recall.store.connect import (
    Store,
    clock_of,
    confirm_address_key,
    load_address_key,
    open_engine,
    open_store,
    read_fact,
    refuse_weak_durability,
    write_fact,
)
from recall.store.migrations import check


def test_a_block_that_raises_leaves_nothing_behind(store: Store):
    with pytest.raises(ZeroDivisionError), store.writing() as connection:
        write_fact(connection, "colour", "red")
        _ = 1 // 0
    assert store.fact("colour") is None


def test_nothing_written_while_reading_is_kept(store: Store):
    with store.reading() as connection:
        write_fact(connection, "colour", "red")
    assert store.fact("colour") is None


def test_a_fact_said_again_is_replaced(store: Store):
    with store.writing() as connection:
        write_fact(connection, "colour", "red")
        write_fact(connection, "colour", "blue")
        assert read_fact(connection, "colour") == "blue"


def test_a_reader_is_not_held_up_by_a_writer(store: Store):
    with store.writing() as writer:
        write_fact(writer, "colour", "red")
        assert store.fact("colour") is None
    assert store.fact("colour") == "red"


def test_a_second_writer_on_sqlite_is_told_that_the_store_is_busy(
    sqlite_store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connect, "_BUSY_TIMEOUT_SECONDS", 0)
    second = open_store(settings)
    with sqlite_store.writing(), pytest.raises(StoreBusy) as caught, second.writing():
        pass
    second.close()
    assert caught.value.retryable


def test_an_unreachable_server_is_told_without_its_password():
    store = Store(open_engine("postgresql://recall:s3cret@127.0.0.1:1/recall"), b"key")
    with pytest.raises(StoreBusy) as caught, store.reading():
        pass
    assert "s3cret" not in str(caught.value)


def test_foreign_keys_hold(store: Store, now: Instant):
    orphan = schema.users.insert().values(user_id="u1", zone_id=999, created_at=now)
    with pytest.raises(Exception, match=r"(?i)foreign key"), store.writing() as connection:
        connection.execute(orphan)


def test_a_database_of_another_kind_is_refused():
    with pytest.raises(Misconfigured, match="SQLite or PostgreSQL, not in mysql"):
        open_engine("mysql://localhost/recall")


def test_a_sqlite_store_that_may_forget_a_commit_is_refused(sqlite_store: Store):
    with sqlite_store.engine.connect() as connection:
        connection.exec_driver_sql("commit")  # the pragma does nothing inside a transaction
        connection.exec_driver_sql("PRAGMA synchronous=NORMAL")
        connection.exec_driver_sql("begin")
    with pytest.raises(Misconfigured, match="synchronous=1"):
        refuse_weak_durability(sqlite_store)


def test_a_postgresql_store_that_may_forget_a_commit_is_refused(postgresql_store: Store):
    with pytest.raises(Misconfigured, match=r"fsync=off.*RECALL_ALLOW_WEAK_DURABILITY"):  # as the tests' server is
        refuse_weak_durability(postgresql_store)


def test_the_address_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path):
    settings = load(var_dir=tmp_path / "var")
    key = load_address_key(settings)
    assert load_address_key(settings) == key
    assert len(key) == 64
    assert stat.S_IMODE((tmp_path / "var" / "address.key").stat().st_mode) == 0o600


def test_a_store_refuses_another_address_key_than_its_first(store: Store):
    confirm_address_key(store)
    confirm_address_key(store)
    with pytest.raises(Misconfigured, match="address key is not the one"):
        confirm_address_key(Store(store.engine, b"another key"))


def test_processes_that_first_use_a_store_in_the_same_moment_agree_on_its_key(store: Store) -> None:
    gate = threading.Barrier(8)

    def begin(number: int) -> str:
        gate.wait(10)
        try:
            confirm_address_key(Store(store.engine, f"key {number % 2}".encode()))
        except Misconfigured:
            return ""
        return f"key {number % 2}"

    with ThreadPoolExecutor(8) as pool:
        agreed = set(pool.map(begin, range(8)))
    assert len(agreed - {""}) == 1, "one key is the store's own, and the others are refused"


def test_a_fact_said_by_two_at_once_is_known_and_nobody_fails(store: Store) -> None:
    gate = threading.Barrier(4)

    def say(number: int) -> None:
        gate.wait(10)
        with store.writing() as connection:
            write_fact(connection, "a fact", str(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(say, range(4)))
    assert store.fact("a fact") in {"0", "1", "2", "3"}


def test_the_kept_fingerprint_does_not_give_the_key_away(store: Store):
    confirm_address_key(store)
    assert store.address_key.decode() not in (store.fact("address_key") or "")


def test_the_same_value_hashes_differently_as_phone_and_as_user(sqlite_store: Store):
    assert sqlite_store.hash_address("phone", "1") != sqlite_store.hash_address("user", "1")
    assert sqlite_store.hash_address("phone", "1") == sqlite_store.hash_address("phone", "1")


def test_only_a_simulated_store_has_a_time_of_its_own(store: Store, now: Instant):
    assert isinstance(clock_of(store), SystemClock)
    with store.writing() as connection:
        write_fact(connection, "simulated", "true")
    with pytest.raises(Misconfigured, match="recall simulate"):
        clock_of(store).now()
    with store.writing() as connection:
        write_fact(connection, "virtual_now", str(now))
    assert clock_of(store).now() == now


def test_a_number_beyond_32_bits_survives(store: Store):
    with store.writing() as connection:
        connection.execute(schema.allowances.insert().values(kind=1, subject="p", day=0, used=2**62))
        assert connection.execute(select(schema.allowances.c.used)).scalar() == 2**62


def test_ids_are_given_by_the_store(store: Store):
    with store.writing() as connection:
        made = schema.zones.insert().values(names="Asia/Shanghai").returning(schema.zones.c.id)
        assert connection.execute(made).scalar_one() > 0
        assert connection.execute(text("select count(*) from zones")).scalar() == 1


def test_a_store_that_cannot_be_reached_says_so_at_the_first_look(tmp_path: Path) -> None:
    away = open_engine(f"postgresql://nobody@/recall?host={tmp_path}")
    with pytest.raises(StoreBusy):
        check(away)
    with pytest.raises(StoreBusy):
        refuse_weak_durability(Store(away, b"a key"))
    away.dispose()
