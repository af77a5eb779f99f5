"""What do people see in their browser? A few plain pages in Chinese and English: no script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

_STYLE = """
:root { color-scheme: light dark; --line: #8886; --accent: #0b57d0; }
* { box-sizing: border-box; }
body { margin: 0; font: 1.0625rem/1.6 system-ui, "PingFang SC", "Microsoft YaHei", sans-serif; }
main { max-width: 34rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.375rem; line-height: 1.3; margin: 0 0 .75rem; }
h2 { font-size: 1.0625rem; margin: 2rem 0 .5rem; }
fieldset { border: 1px solid var(--line); border-radius: .75rem; padding: 0; margin: 1rem 0; }
legend { padding: 0 .5rem; margin-left: .5rem; }
label { display: flex; align-items: center; gap: .75rem; min-height: 3rem; padding: .5rem 1rem; }
label + label { border-top: 1px solid var(--line); }
input[type=checkbox] { width: 1.5rem; height: 1.5rem; flex: none; accent-color: var(--accent); }
button, a.button { display: block; width: 100%; min-height: 3rem; padding: .75rem 1rem; font: inherit; font-weight: 600;
  border: 1px solid var(--accent); border-radius: .75rem; text-align: center; text-decoration: none; cursor: pointer; }
button.main, a.main { background: var(--accent); color: #fff; }
button.other, a.other { background: transparent; color: inherit; border-color: var(--line); margin-top: .75rem; }
button:focus-visible, input:focus-visible, a:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.said { border-left: .25rem solid var(--accent); padding: .5rem 1rem; margin: 1rem 0; background: #8881; }
small { opacity: .8; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

_PAGES = {
    "frame": """<!doctype html>
<html lang="{{ t.lang }}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{{ title }}</title>
<style>{{ style }}</style>
</head>
<body><main>
<h1>{{ title }}</h1>
{% block content %}{% endblock %}
</main></body>
</html>
""",
    "words": '{% extends "frame" %}{% block content %}<p>{{ text }}</p>{% endblock %}',
    "app": """{% extends "frame" %}{% block content %}
<p>{{ t.app_text }}</p>
{% if opens %}<a class="button main" href="{{ opens }}">{{ t.app_open }}</a>{% endif %}
{% for name, address in stores %}<a class="button other" href="{{ address }}">{{ name }}</a>{% endfor %}
{% endblock %}""",
    "preferences": """{% extends "frame" %}{% block content %}
{% if saved %}<p class="said" role="status">{{ t.saved }}</p>{% endif %}
{% if paused_until %}<p class="said" role="status">{{ t.paused }} {{ paused_until }}</p>{% endif %}
<form method="post">
<fieldset><legend>{{ t.legend }}</legend>
{% for channel, name, is_on in channels %}
<label><input type="checkbox" name="channel" value="{{ channel }}"{% if is_on %} checked{% endif %}>
<span>{{ name }}</span></label>
{% endfor %}
</fieldset>
<button class="main" name="action" value="save">{{ t.save }}</button>
</form>
<h2>{{ t.more }}</h2>
<form method="post">
{% if paused_until %}<button class="other" name="action" value="resume">{{ t.resume }}</button>
{% else %}<button class="other" name="action" value="pause">{{ t.pause }}</button>{% endif %}
<button class="other" name="action" value="stop">{{ t.stop }}</button>
</form>
<p><small>{{ t.note }}</small></p>
{% endblock %}""",
}

TEXTS: dict[str, dict[str, str]] = {
    "en": {
        "lang": "en",
        "title": "Your messages",
        "legend": "You may contact me by",
        "save": "Save",
        "saved": "Saved. This holds from now on.",
        "more": "Or",
        "pause": "Send me nothing for 30 days",
        "resume": "End the pause",
        "paused": "Paused until",
        "stop": "Stop all messages",
        "note": "This is about offers and reminders. Messages about your contract still reach you.",
        "push": "Notifications on the phone",
        "sms": "Text messages (SMS)",
        "email": "E-mail",
        "call": "Phone calls",
        "gone": "This page is not there",
        "gone_text": "The address is incomplete or no longer valid. Please open it again from your message.",
        "app_title": "Continue in the app",
        "app_text": "What you are looking for is in our app.",
        "app_open": "Open the app",
        "ios": "Get the app for iPhone",
        "android": "Get the app for Android",
        "done": "You are unsubscribed.",
    },
    "zh-CN": {
        "lang": "zh-CN",
        "title": "消息设置",
        "legend": "您可以通过以下方式联系我",
        "save": "保存",
        "saved": "已保存，立即生效。",
        "more": "其他选择",
        "pause": "30 天内不再打扰",
        "resume": "结束免打扰",
        "paused": "免打扰至",
        "stop": "停止所有消息",
        "note": "此设置针对营销和提醒类消息。与合同有关的通知仍会送达。",
        "push": "手机推送通知",
        "sms": "短信",
        "email": "电子邮件",
        "call": "电话",
        "gone": "页面不存在",
        "gone_text": "链接不完整或已失效，请从您收到的消息中重新打开。",
        "app_title": "请在 App 中继续",
        "app_text": "您要查看的内容在我们的 App 中。",
        "app_open": "打开 App",
        "ios": "下载 iPhone 版",
        "android": "下载 Android 版",
        "done": "您已退订。",
    },
}

_environment = Environment(
    loader=DictLoader(_PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def page(name: str, language: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """One page; `title` is among the values."""
    texts: Mapping[str, str] = TEXTS[language]
    body = _environment.get_template(name).render(t=texts, style=Markup(_STYLE), **values)
    return HTMLResponse(body, status, {"content-security-policy": _POLICY, "content-language": language})


def gone(language: str) -> HTMLResponse:
    """The one answer to every token we do not know."""
    texts = TEXTS[language]
    return page("words", language, status=404, title=texts["gone"], text=texts["gone_text"])


def language_of(accepted: str, locale: str = "") -> str:
    """What the browser asks for first, else the person's own language, else English."""
    weighted = []
    for part in accepted[:500].split(","):
        name, _, quality = part.strip().lower().partition(";q=")
        weighted.append((_quality(quality), name))
    names = [name for quality, name in sorted(weighted, key=lambda pair: -pair[0]) if quality > 0]
    for name in (*names, locale.lower()):
        if name.startswith("zh"):
            return "zh-CN"
        if name.startswith("en"):
            return "en"
    return "en"


def _quality(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
