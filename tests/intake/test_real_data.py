"""Can the public data sets be imported as they are, with the counts their description gives?"""

from __future__ import annotations

import json
from decimal import Decimal

from recall.intake.sheet import Layout, open_sheet

CDNOW = {
    "header": False,
    "columns": ("customer", "sample", "date", "number", "amount"),
    "delimiter": "whitespace",
    "map": {"user": "sample", "at": "date"},
    "set": {"name": "purchased"},
    "properties": {"number": "number", "amount": "amount"},
    "zone": "America/New_York",
    "create_users": True,
    "default_zone": "America/New_York",
}
RETAIL = {
    "map": {"user": "CustomerID", "at": "InvoiceDate", "id": "InvoiceNo"},
    "set": {"name": "purchased"},
    "properties": {"amount": "TotalPrice"},
    "zone": "Europe/London",
    "create_users": True,
    "default_zone": "Europe/London",
    "source": "retail",
}


def amounts(desk) -> list[str]:
    return [json.loads(row[0])["amount"] for row in desk.rows("select properties from events")]


def test_every_purchase_of_cdnow_is_an_event_and_again_none(both, data):
    report = both.take("events", data("cdnow_sample_1of10.txt"), CDNOW)
    assert (report.read, report.added, report.rejected, report.users_created) == (6_919, 6_919, 0, 2_357)
    assert both.take("events", data("cdnow_sample_1of10.txt"), CDNOW).unchanged == 6_919
    assert sum(map(Decimal, amounts(both))) == Decimal("244091.94")
    assert amounts(both).count("0.00") == 8
    [(days,)] = both.rows("select count(*) from (select distinct user_id, at from events) as days")
    assert days == 6_919 - 223
    assert both.rows("select min(user_id), max(user_id) from users") == [("0001", "2357")]


def test_every_invoice_of_online_retail_is_an_event_and_again_none(desk, data):
    report = desk.take("events", data("online_retail_uci_invoices.csv"), RETAIL)
    assert (report.read, report.added, report.users_created) == (18_532, 18_532, 4_338)
    assert desk.take("events", data("online_retail_uci_invoices.csv"), RETAIL).unchanged == 18_532
    assert "22.200000000000003" in amounts(desk)
    assert sum(map(Decimal, amounts(desk))).quantize(Decimal("0.001")) == Decimal("8911407.904")


def test_every_customer_of_the_telco_is_a_user_with_attributes(desk, data):
    mapping = {"map": {"user": "customerID"}, "attributes": {"*": "*"}, "default_zone": "America/Los_Angeles"}
    assert desk.take("users", data("telco_churn_ibm.csv"), mapping).added == 7_043
    counts = dict(desk.rows("select name, count(*) from user_attributes group by name"))
    assert counts["TotalCharges"] == 7_043 - 11, "a blank is no value"
    assert len(counts) == 20
    churned = desk.rows("select count(*) from user_attributes where name = 'Churn' and value = 'Yes'")
    assert churned == [(1_869,)]


def test_every_call_of_the_bank_is_read_with_its_quotes_and_semicolons(data):
    with open_sheet(data("bank_full_2012.csv"), Layout(), wanted=("pdays", "y")) as sheet:
        rows = list(sheet.rows())
        place = {name: n for n, name in enumerate(sheet.columns)}
    assert (sheet.delimiter, len(rows), len(place)) == (";", 45_211, 17)
    assert not any(row.fault for row in rows)
    assert sum(row.cells[place["y"]] == "yes" for row in rows) == 5_289
    assert sum(row.cells[place["pdays"]] == "-1" for row in rows) == 36_954
