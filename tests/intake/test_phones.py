"""Is a phone one person's own number, and where may that person be?"""

from __future__ import annotations

import pytest

from recall.errors import Misconfigured
from recall.intake.phones import confirm_region, read_phone


def read(text: str):
    return read_phone(text, "phone", region="CN", landlines=False)


def test_a_number_with_one_zone_is_there():
    phone = read("13800138000")
    assert (phone.value, phone.region, phone.zones) == ("+8613800138000", "CN", ("Asia/Shanghai",))
    assert read("+14155552671").zones == ("America/Los_Angeles",)


def test_a_number_with_several_zones_may_be_in_each():
    zones = read("+61412345678").zones
    assert {"Australia/Perth", "Australia/Sydney"} <= set(zones)


def test_a_landline_may_be_asked_for():
    assert read_phone("+861012345678", "phone", region=None, landlines=True).value == "+861012345678"


def test_an_empty_cell_is_no_phone():
    assert read("  ") is None


def test_the_number_is_not_shown_when_it_is_printed():
    assert "138" not in repr(read("13800138000"))


def test_a_region_must_have_phones():
    assert confirm_region("cn") == "CN"
    assert confirm_region(None) is None
    with pytest.raises(Misconfigured, match="'XX' is not a country"):
        confirm_region("XX")
