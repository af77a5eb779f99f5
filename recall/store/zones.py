"""In which zones may a person be? One zone, or a set of candidates; an empty set is nowhere."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from recall.store import schema

Zones = tuple[ZoneInfo, ...]


def read_zones(connection: Connection) -> dict[int, Zones]:
    """Every zone set people of this store live in, by zone_id."""
    return {zone_id: parse_zones(names) for zone_id, names in connection.execute(_ZONES)}


_ZONES = select(schema.zones.c.id, schema.zones.c.names)


@lru_cache(maxsize=4096)
def parse_zones(names: str) -> Zones:
    """`Asia/Shanghai,Asia/Urumqi` as zones; an empty text as no zone at all."""
    return tuple(ZoneInfo(name) for name in names.split(",") if name)
