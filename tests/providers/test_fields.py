"""Are our requests such as the vendors' own clients make, with names and limits their public descriptions allow?

The official clients are the oracle: fed the same wishes, they must write the same request. Push: test_fcm_push.py.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from sendgrid.helpers import mail
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client
from twilio.rest.api.v2010.account.call import CallList
from twilio.rest.api.v2010.account.message import MessageList

from providers import sendgrid_letters
from providers.sendgrid_letters import Look, groups_of, shape
from providers.twilio_sms import make as make_sms
from providers.twilio_voice import make as make_voice
from providers.twilio_voice import script
from recall.clock import SECOND, FixedClock
from recall.settings import load
from tests.providers.test_sendgrid_email import message as letter
from tests.providers.twilio_far import ACCOUNT, NOW, SENDER, SERVICE, TOKEN, TwilioFar
from tests.providers.twilio_far import message as any_message

# --- Twilio ------------------------------------------------------------------------------------------------------

# From the reference of the Messages and Calls resources (2026-11): characters or seconds.
LONGEST = {"To": 64, "From": 64, "Body": 1600, "StatusCallback": 4000, "Url": 4000, "Twiml": 4000}
SECONDS = {"ValidityPeriod": (1, 36_000), "Timeout": (0, 600), "TimeLimit": (1, 14_400)}
WORDS = {
    "StatusCallbackEvent": {"initiated", "ringing", "answered", "completed"},
    "MachineDetection": {"Enable", "DetectMessageEnd"},
    "AsyncAmd": {"true", "false"},
}


class Captured(TwilioHttpClient):
    """The official client's way out: remembers the form as it is written, and says yes."""

    def request(self, method: str, url: str, params: Any = None, data: Any = None, *_: Any, **__: Any) -> Response:
        self.form = {
            name: list(map(str, value if isinstance(value, list) else [value])) for name, value in data.items()
        }
        return Response(201, json.dumps({"sid": "SM" + "0" * 32}))


def official() -> tuple[Any, Captured]:
    captured = Captured()
    return Client(ACCOUNT, TOKEN, http_client=captured).api.v2010.account, captured


def posted(far: TwilioFar, make: Any, *messages: Any, **options: str) -> list[dict[str, list[str]]]:
    """The forms as they arrived."""

    async def all_of() -> None:
        provider = make("twilio", load(), far.clock, far.options(**options))
        async for _ in provider.send(messages):
            pass
        await provider.close()

    asyncio.run(all_of())
    return [parse_qs(seen.body.decode(), keep_blank_values=True) for seen in far.vendor.posts]


@pytest.fixture
def far():
    made = TwilioFar(FixedClock(NOW))
    yield made
    made.vendor.close()


def refuse_nonsense(form: dict[str, list[str]], resource: Any) -> None:
    """Every name is one `create` knows, every value within its limits."""
    known = {_pascal(name) for name in inspect.signature(resource.create).parameters} - {"Self"}
    assert form.keys() <= known
    for name, values in form.items():
        assert len(values) == 1 or name == "StatusCallbackEvent"
        for value in values:
            assert 0 < len(value) <= LONGEST.get(name, 1000), name
            if name in SECONDS:
                assert SECONDS[name][0] <= int(value) <= SECONDS[name][1], name
            assert value in WORDS.get(name, {value}), name


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.strip("_").split("_"))


@pytest.mark.parametrize("sender", [SENDER, SERVICE, "EXAMPLE"])
@pytest.mark.parametrize("left", [1, 600, 36_000, 7 * 86_400])
def test_an_sms_is_what_the_official_client_sends(far: TwilioFar, sender: str, left: int):
    sent = any_message(1, sender=sender, not_after=NOW + left * SECOND)
    (form,) = posted(far, make_sms, sent)
    refuse_nonsense(form, MessageList)
    resources, captured = official()
    resources.messages.create(
        to=sent.address.value,
        body=sent.content.body,
        status_callback=sent.meta["callback"],
        validity_period=min(left, 36_000),
        **({"messaging_service_sid": sender} if sender == SERVICE else {"from_": sender}),
    )
    assert form == captured.form


@pytest.mark.parametrize("detection", ["off", "sync", "async"])
@pytest.mark.parametrize("body", ["您好。不再接听此类来电请按9", "x" * 5000])
@pytest.mark.parametrize(("ring", "talk"), [("5", "10"), ("600", "14400")])
def test_a_call_is_what_the_official_client_makes(far: TwilioFar, detection: str, body: str, ring: str, talk: str):
    sent = any_message(1, body=body)
    options = {"machine_detection": detection, "ring_seconds": ring, "talk_seconds": talk}
    (form,) = posted(far, make_voice, sent, **options)
    refuse_nonsense(form, CallList)
    asked_for = detection == "sync" or len(body) > 4000
    what = {"url": sent.meta["voice"]}
    if not asked_for:
        what = {"twiml": script(body, locale="zh-CN", answer_url=f"{sent.meta['voice']}/answer")}
    callback = sent.meta["callback"]
    detect = {} if detection == "off" else {"machine_detection": "Enable"}
    later = {"async_amd": "true", "async_amd_status_callback": callback} if detection == "async" else {}
    resources, captured = official()
    resources.calls.create(
        to=sent.address.value,
        from_=SENDER,
        status_callback=callback,
        status_callback_event=["completed"],
        timeout=int(ring),
        time_limit=int(talk),
        **what,
        **detect,
        **later,
    )
    assert form == captured.form


def test_the_checker_refuses_what_twilio_would():
    for wrong in ({"Bodyy": ["x"]}, {"Body": ["x" * 1601]}, {"ValidityPeriod": ["36001"]}, {"To": [""]}):
        with pytest.raises(AssertionError):
            refuse_nonsense(wrong, MessageList)


# --- SendGrid ----------------------------------------------------------------------------------------------------


def written(group: list[Any], look: Look) -> dict[str, Any]:
    made = look.request(shape(group), group, name="Example", sender="hello@example.com")
    return dict(json.loads(json.dumps(made)))


def official_letter(*numbers: int, html: bool, look: Look) -> dict[str, Any]:
    """The same wishes in SendGrid's own objects; texts that differ are left to our own form of substitutions."""
    first = letter(numbers[0])
    made = mail.Mail()
    made.from_email = mail.From("hello@example.com", "Example")
    made.subject = mail.Subject(first.content.title)
    made.add_content(mail.Content("text/plain", first.content.body))
    if html:
        made.add_content(mail.Content("text/html", "<p>Hello</p>"))
    for number in numbers:
        person = mail.Personalization()
        person.add_to(mail.To(f"person{number}@example.com"))
        person.add_custom_arg(mail.CustomArg("ref", letter(number).ref))
        person.add_header(mail.Header("List-Unsubscribe", f"<https://r.example.com/u/tok{number}>"))
        person.add_header(mail.Header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
        made.add_personalization(person)
    for word in ("settled-30d", "email-1"):
        made.add_category(mail.Category(word))
    tracking = mail.TrackingSettings()
    tracking.click_tracking = mail.ClickTracking(look.track_clicks, False)
    tracking.open_tracking = mail.OpenTracking(look.track_opens)
    tracking.subscription_tracking = mail.SubscriptionTracking(False)
    made.tracking_settings = tracking
    if look.reply_to:
        made.reply_to = mail.ReplyTo(look.reply_to)
    if look.asm_group_id is not None:
        made.asm = mail.Asm(mail.GroupId(look.asm_group_id))
    if look.ip_pool:
        made.ip_pool_name = mail.IpPoolName(look.ip_pool)
    if look.sandbox:
        settings = mail.MailSettings()
        settings.sandbox_mode = mail.SandBoxMode(True)
        made.mail_settings = settings
    return dict(made.get())


LOOKS = [
    Look(),
    Look(reply_to="help@example.com", asm_group_id=7, ip_pool="warm", sandbox=True),
    Look(track_opens=False, track_clicks=True),
]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("html", ["", "<p>Hello</p>"])
@pytest.mark.parametrize("people", [1, 3])
def test_a_letter_is_what_sendgrids_own_objects_write(look: Look, html: str, people: int):
    numbers = range(1, people + 1)
    group = [letter(n, body=letter(1).content.body, html=html) for n in numbers]
    ours, theirs = written(group, look), official_letter(*numbers, html=bool(html), look=look)
    # The SDK lists the last added category or person first in some versions: sets, as SendGrid reads them.
    assert sorted(ours.pop("categories")) == sorted(theirs.pop("categories"))
    assert _people(ours) == _people(theirs)
    assert ours == theirs


def _people(made: dict[str, Any]) -> list[str]:
    return sorted(json.dumps(each, sort_keys=True) for each in made.pop("personalizations"))


def test_every_request_keeps_the_limits_of_mail_send():
    """`POST /v3/mail/send` of the public description (2026-11), over people with texts of their own."""
    people = [letter(n, title=f"Title {n % 3}", html=f"<p>{n}</p>" if n % 2 else "") for n in range(1, 2_500)]
    seen: list[str] = []
    for group in groups_of(people):
        made = written(list(group), LOOKS[1])
        assert 1 <= len(made["personalizations"]) <= 1000
        assert len(json.dumps(made).encode()) <= 30 * 2**20
        assert [part["type"] for part in made["content"]] in (["text/plain"], ["text/plain", "text/html"])
        assert all(part["value"] for part in made["content"])
        assert len(made["categories"]) <= 10 and all(len(each) <= 255 for each in made["categories"])
        assert len(made["asm"].get("groups_to_display", [])) <= 25
        for person in made["personalizations"]:
            assert person.keys() <= {"to", "subject", "custom_args", "headers", "substitutions"}
            assert len(person["to"]) == 1
            assert person.get("subject") or made["subject"]
            assert all(isinstance(value, str) for value in person["custom_args"].values())
            assert len(json.dumps(person["custom_args"])) < 10_000
            own = person.get("substitutions", {})
            assert sum(len(tag.encode()) + len(value.encode()) for tag, value in own.items()) <= 10_000
            seen.append(person["custom_args"]["ref"])
    assert sorted(seen) == sorted(message.ref for message in people)
    assert sendgrid_letters.MAX_RECIPIENTS <= 1000
