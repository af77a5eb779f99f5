"""How is one written value read? Every scalar of a file is text; each type here reads exactly one spelling.

The file loader hands over text only (so `9:30`, `no`, `1.10` stay what was written); JSON from the store
goes through the same types, which also accept what they write themselves.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, StringConstraints

from journeys.durations import Duration

MICROS_PER_UNIT = 1_000_000
_MAX_UNITS = Decimal(10) ** 12


class Model(BaseModel):
    """A frozen noun that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def single(value: Any) -> Any:
    if isinstance(value, (dict, list)):
        raise ValueError(
            f"a {'list' if isinstance(value, list) else 'mapping'} cannot stand here; write a single value"
        )
    return value


def _duration(value: Any) -> Duration:
    return value if isinstance(value, Duration) else Duration.parse(str(single(value)))


def _positive_duration(value: Duration) -> Duration:
    if value.is_zero:
        raise ValueError("a zero duration does nothing; leave it out or write at least 1m")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,12}", str(single(value)), re.ASCII):
        raise ValueError(f"{value!r} is not a whole number; write digits only, such as 3")
    return int(value)


def _percent(value: Any) -> int:
    text = str(single(value)).removesuffix("%").strip()
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,3}", text, re.ASCII) or int(text) > 100:
        raise ValueError(f"{value!r} is not a percentage; write a whole number from 0 to 100, such as 10")
    return int(text)


def _share(value: Any) -> int:
    """`0.3%` as parts per million."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value  # already parts per million, from the store
    match = re.fullmatch(r"(\d{1,3})(?:\.(\d{1,4}))?%", str(value), re.ASCII)
    share = int(match[1]) * 10_000 + int((match[2] or "").ljust(4, "0")) if match else -1
    if not 0 <= share <= 1_000_000:
        raise ValueError(f"{value!r} is not a share; write a percentage with at most four decimals, such as 0.3%")
    return share


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if single(value) not in ("true", "false"):
        raise ValueError(f"{value!r} is neither true nor false; write true or false")
    return bool(value == "true")


def to_micros(value: Any) -> int:
    """Decimal text to integer micros (10^-6 of the unit); raises ValueError for anything inexact."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value  # already micros, from the store
    if not isinstance(single(value), str) or not re.fullmatch(r"\d{1,13}(\.\d{1,6})?", value, re.ASCII):
        raise ValueError(f"{value!r} is not an amount; write decimal text with at most six decimals, such as '0.045'")
    try:
        amount = Decimal(value)
    except InvalidOperation as error:  # pragma: no cover - the pattern above admits only decimals
        raise ValueError(f"{value!r} is not an amount") from error
    if amount > _MAX_UNITS:
        raise ValueError(f"{value!r} is too large; the most is 10^12")
    return int(amount * MICROS_PER_UNIT)


def clock_minutes(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", str(value), re.ASCII)
    minutes = int(match[1]) * 60 + int(match[2]) if match else -1
    if not match or int(match[2]) > 59 or minutes > 24 * 60:
        raise ValueError(f"{value!r} is not a clock time; write HH:MM from 00:00 to 24:00, such as 09:30")
    return minutes


def clock_text(minutes: int) -> str:
    """`570` as `09:30`."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is not a time zone; write an IANA name, such as Asia/Shanghai") from error
    return value


_AsText = PlainSerializer(str, return_type=str)

DurationField = Annotated[Duration, BeforeValidator(_duration), _AsText]
PositiveDuration = Annotated[Duration, AfterValidator(_positive_duration), BeforeValidator(_duration), _AsText]
WholeNumber = Annotated[int, BeforeValidator(_whole)]
Percent = Annotated[int, BeforeValidator(_percent)]
Share = Annotated[int, BeforeValidator(_share)]  # parts per million
Flag = Annotated[bool, BeforeValidator(_flag)]
Money = Annotated[int, BeforeValidator(to_micros)]  # micros
ClockTime = Annotated[int, BeforeValidator(clock_minutes)]  # minutes after local midnight, 0..1440
ZoneName = Annotated[str, AfterValidator(_zone)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
# Ids become Prefect names and artifact keys, which hold only a-z 0-9 and -.
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
EventName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")]
AttributeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
