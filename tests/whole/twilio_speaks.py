"""How does Twilio talk to us? It posts to the addresses it was given with each message or call, signed as it signs."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import httpx
from multidict import MultiDict
from twilio.request_validator import RequestValidator

from recall.clock import FixedClock
from tests.providers.twilio_far import ACCOUNT, SENDER, TOKEN, TwilioFar
from tests.providers.vendor import Seen

Taken = dict[str, Any]  # one message or call as Twilio knows it, with the form it was asked for


class Twilio(TwilioFar):
    """The far end that also calls back."""

    def __init__(self, clock: FixedClock) -> None:
        super().__init__(clock)
        self._client = httpx.Client(trust_env=False)
        self._replies = 0

    def close(self) -> None:
        self._client.close()
        self.vendor.close()

    def take(self, seen: Seen, prefix: str) -> Taken:
        row = super().take(seen, prefix)
        row["form"] = {name: values[0] for name, values in seen.form.items()}
        return row

    def to(self, number: str, *, prefix: str = "SM") -> list[Taken]:
        """What it took for one number, oldest first."""
        return [row for row in self.log if row["to"] == number and str(row["sid"]).startswith(prefix)]

    def post(self, url: str, fields: dict[str, str], *, token: str = TOKEN) -> httpx.Response:
        """A request as Twilio signs it."""
        signature = RequestValidator(token).compute_signature(url, MultiDict(fields))
        return self._client.post(url, data=fields, headers={"X-Twilio-Signature": signature})

    # --- messages --------------------------------------------------------------------------------------------

    def report(self, row: Taken, status: str, **more: str) -> httpx.Response:
        """The status callback of one message."""
        about = {"MessageSid": row["sid"], "SmsSid": row["sid"], "MessageStatus": status, "SmsStatus": status}
        own = {"AccountSid": ACCOUNT, "ApiVersion": "2010-04-01", "From": SENDER, "To": row["to"]}
        return self.post(row["form"]["StatusCallback"], {**own, **about, **more})

    def inbound(self, url: str, number: str, text: str) -> httpx.Response:
        """Somebody answers our number."""
        self._replies += 1
        sid = f"SM{'b' * 16}{self._replies:016x}"
        about = {"MessageSid": sid, "SmsSid": sid, "SmsStatus": "received", "Body": text, "NumMedia": "0"}
        return self.post(url, {"AccountSid": ACCOUNT, "From": number, "To": SENDER, **about})

    # --- calls -----------------------------------------------------------------------------------------------

    def answered(self, row: Taken) -> ElementTree.Element:
        """The call is taken: the TwiML Twilio follows, which it was given or fetches from the address it was given."""
        if "Twiml" in row["form"]:
            return ElementTree.fromstring(row["form"]["Twiml"])
        answer = self.post(row["form"]["Url"], self._call(row, "in-progress"))
        assert answer.status_code == 200, answer.text
        return ElementTree.fromstring(answer.text)

    def gathered(self, row: Taken, twiml: ElementTree.Element, **heard: str) -> ElementTree.Element:
        """The end of the Gather: `Digits`, or `SpeechResult` with `Confidence`, or nothing; what is said then."""
        gather = twiml.find("Gather")
        assert gather is not None
        ended = {"msg": "Gather End", **heard} if "Digits" in heard else heard
        answer = self.post(gather.attrib["action"], self._call(row, "in-progress", **ended))
        assert answer.status_code == 200, answer.text
        return ElementTree.fromstring(answer.text)

    def detected(self, row: Taken, by: str) -> httpx.Response:
        """What machine detection found."""
        return self.post(
            row["form"]["AsyncAmdStatusCallback"],
            {"CallSid": row["sid"], "AccountSid": ACCOUNT, "AnsweredBy": by, "MachineDetectionDuration": "3980"},
        )

    def ended(self, row: Taken, status: str = "completed") -> httpx.Response:
        return self.post(row["form"]["StatusCallback"], self._call(row, status, CallDuration="31"))

    def _call(self, row: Taken, status: str, **more: str) -> dict[str, str]:
        about = {"CallSid": row["sid"], "AccountSid": ACCOUNT, "CallStatus": status, "Direction": "outbound-api"}
        return {**about, "To": row["to"], "From": SENDER, "ApiVersion": "2010-04-01", **more}


def words_of(twiml: ElementTree.Element) -> str:
    """Everything that is said, in order."""
    return "".join(said.text or "" for said in twiml.iter("Say"))
