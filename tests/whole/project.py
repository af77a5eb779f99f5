"""Which files does an adopter write? A journey, the policies with routes to real vendors, and the words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.engine.conftest import SHIPPED

LINK = "https://shop.example.com/loan"
JOURNEY = """
schema: recall.journey/v1
id: settled-30d
title: Loan settled, not borrowed again in 30 days
policy: {policy}
entry:
  anchor: loan_settled
  audience:
    all:
      - {{did: loan_settled, between: [30d, 60d]}}
      - {{did_not: loan_drawn, since: loan_settled}}
goal: {{event: loan_drawn, window: 28d, value: amount}}
steps:
{steps}
"""
WORDS = """
schema: recall.template/v1
id: words
push: {zh-CN: {title: 欢迎回来, body: 您的额度随时待命，点击查看。}}
sms: {zh-CN: {body: "【{{ brand }}】欢迎回来：{{ link }} 拒收请回复R"}}
email:
  zh-CN:
    subject: 欢迎回来
    body: "您好，\\n{{ link }}\\n{{ brand }}\\n退订：{{ opt_out_link }}"
    html: "<p>您好，<a href='{{ link }}'>查看</a></p><p>{{ brand }} <a href='{{ opt_out_link }}'>退订</a></p>"
call:
  zh-CN:
    body: 您好，这里是{{ brand }}的自动语音来电。您的额度仍可使用。如需了解请按1，不再接听此类来电请按9。
in_app: {zh-CN: {title: 欢迎回来, body: 您的额度随时待命。}}
task: {zh-CN: {title: 回访, body: 请询问新额度是否合适。}}
"""

Routes = Mapping[str, Mapping[str, Any]]  # by channel


def write_project(folder: Path, steps: str, routes: Routes, *, abroad: Routes | None = None) -> None:
    """A journey of these steps for mainland China, and for the US where there are routes `abroad`."""
    for name in ("journeys", "policies", "templates"):
        (folder / name).mkdir()
    both = "{by: jurisdiction, CN: cn-consumer-finance, US: us-strict, else: no_send}"
    policy = "cn-consumer-finance" if abroad is None else both
    (folder / "journeys" / "settled-30d.yaml").write_text(JOURNEY.format(policy=policy, steps=steps))
    (folder / "templates" / "words.yaml").write_text(WORDS)
    _write_policy(folder, "cn-consumer-finance", routes)
    _write_policy(folder, "us-strict", abroad or {})


def _write_policy(folder: Path, name: str, routes: Routes) -> None:
    """The shipped one with these routes, and nobody held out."""
    policy = yaml.safe_load((SHIPPED / "policies" / f"{name}.yaml").read_text())
    policy["routes"] = {**policy["routes"], **routes}
    del policy["holdout"]
    (folder / "policies" / f"{name}.yaml").write_text(yaml.safe_dump(policy, allow_unicode=True))
