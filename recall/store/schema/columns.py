"""How is a column spelled? Times are BIGINT UTC microseconds, money is BIGINT micros, on both stores."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, text

metadata = MetaData()

# SQLite numbers a row by itself only for a column typed INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")


def row_id() -> Column[int]:
    """A number of its own for each row, given by the store."""
    return Column("id", Id, primary_key=True, autoincrement=True)


def at(name: str, *, null: bool = False, default: int | None = None) -> Column[int]:
    """An instant."""
    return Column(name, BigInteger, nullable=null, server_default=None if default is None else text(str(default)))


def flag(name: str, *, default: bool = False) -> Column[bool]:
    """Yes or no; no unless `default` says otherwise."""
    return Column(name, Boolean, nullable=False, server_default=text("true" if default else "false"))


def count(name: str) -> Column[int]:
    """A number that begins at 0."""
    return Column(name, BigInteger, nullable=False, server_default=text("0"))
