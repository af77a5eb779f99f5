"""Which words may stand in ledger, `explain`, `plan`, reports and UI? Four closed lists."""

from __future__ import annotations

from enum import StrEnum


class Channel(StrEnum):
    PUSH = "push"
    SMS = "sms"
    EMAIL = "email"
    CALL = "call"
    IN_APP = "in_app"
    TASK = "task"


class AddressKind(StrEnum):
    """What a message is addressed to; `NONE` for channels that address the user."""

    PHONE = "phone"
    EMAIL = "email"
    PUSH = "push"
    NONE = "none"


ADDRESS_OF: dict[Channel, AddressKind] = {
    Channel.PUSH: AddressKind.PUSH,
    Channel.SMS: AddressKind.PHONE,
    Channel.EMAIL: AddressKind.EMAIL,
    Channel.CALL: AddressKind.PHONE,
    Channel.IN_APP: AddressKind.NONE,
    Channel.TASK: AddressKind.NONE,
}

# Opt-outs of one address are kept as a bit mask, so that the gate reads one integer.
CHANNEL_BIT: dict[Channel, int] = {channel: 1 << n for n, channel in enumerate(Channel)}
ALL_CHANNELS_MASK = sum(CHANNEL_BIT.values())


class Action(StrEnum):
    """What happens to the enrolment when the gate gives a reason."""

    DEFER = "defer"  # stays on the step, due later; spends no attempt
    EXIT = "exit"  # the enrolment ends
    ELSE = "else"  # takes the step's `else`, or skips; exits if no channel is left
    SKIP = "skip"  # goes on to the next step
    SHADOW = "shadow"  # holdout: goes on as if sent
    DECLARED = "declared"  # the journey says: budget `on_spent`, offer `on_empty`


class Reason(StrEnum):
    """Why the gate did not let a message out, in the order in which reasons are checked."""

    KILL_SWITCH = "kill_switch"
    PAUSED = "paused"
    NOT_APPROVED = "not_approved"
    STALE_DATA = "stale_data"
    ERASED = "erased"
    GOAL_REACHED = "goal_reached"
    EXIT_RULE = "exit_rule"
    NOT_ELIGIBLE = "not_eligible"
    HELD = "held"
    MESSAGE_EXPIRED = "message_expired"
    CONDITION = "condition"
    SUPPRESSED = "suppressed"
    UNRESPONSIVE = "unresponsive"
    OPTED_OUT = "opted_out"
    NO_CONSENT = "no_consent"
    NOT_INSTALLED = "not_installed"
    UNREACHABLE = "unreachable"
    UNVERIFIED = "unverified"
    REGION_BLOCKED = "region_blocked"
    OUTRANKED = "outranked"
    CAPPED = "capped"
    RAMP_LIMIT = "ramp_limit"
    OUTSIDE_WINDOW = "outside_window"
    NO_TEMPLATE_VALUE = "no_template_value"
    BUDGET_SPENT = "budget_spent"
    NO_STOCK = "no_stock"
    TEST_RECIPIENTS_ONLY = "test_recipients_only"
    HOLDOUT = "holdout"


ACTION_OF: dict[Reason, Action] = {
    Reason.KILL_SWITCH: Action.DEFER,
    Reason.PAUSED: Action.DEFER,
    Reason.NOT_APPROVED: Action.DEFER,
    Reason.STALE_DATA: Action.DEFER,
    Reason.ERASED: Action.EXIT,
    Reason.GOAL_REACHED: Action.EXIT,
    Reason.EXIT_RULE: Action.EXIT,
    Reason.NOT_ELIGIBLE: Action.EXIT,
    Reason.HELD: Action.DEFER,
    Reason.MESSAGE_EXPIRED: Action.SKIP,
    Reason.CONDITION: Action.ELSE,
    Reason.SUPPRESSED: Action.EXIT,
    Reason.UNRESPONSIVE: Action.EXIT,
    Reason.OPTED_OUT: Action.ELSE,
    Reason.NO_CONSENT: Action.ELSE,
    Reason.NOT_INSTALLED: Action.ELSE,
    Reason.UNREACHABLE: Action.ELSE,
    Reason.UNVERIFIED: Action.ELSE,
    Reason.REGION_BLOCKED: Action.ELSE,
    Reason.OUTRANKED: Action.DEFER,
    Reason.CAPPED: Action.DEFER,
    Reason.RAMP_LIMIT: Action.DEFER,
    Reason.OUTSIDE_WINDOW: Action.DEFER,
    Reason.NO_TEMPLATE_VALUE: Action.SKIP,
    Reason.BUDGET_SPENT: Action.DECLARED,
    Reason.NO_STOCK: Action.DECLARED,
    Reason.TEST_RECIPIENTS_ONLY: Action.SKIP,
    Reason.HOLDOUT: Action.SHADOW,
}


class EntryReason(StrEnum):
    """Why a candidate of the audience is not enrolled; each candidate has at most one."""

    OVERLAP = "overlap"
    REENTRY = "reentry"
    DAILY_LIMIT = "daily_limit"
    NOT_ROLLED_OUT = "not_rolled_out"
    NO_POLICY = "no_policy"
    SUPPRESSED = "suppressed"
    UNRESPONSIVE = "unresponsive"
    ERASED = "erased"
    PAUSED = "paused"


class SendState(StrEnum):
    """Where one row of the ledger stands; `CALLING` is the only state without an outcome."""

    CALLING = "calling"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    IN_DOUBT = "in_doubt"
    CANCELLED = "cancelled"
    SHADOW = "shadow"


class Outcome(StrEnum):
    """What a provider may answer to one message."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_SENT = "not_sent"
    IN_DOUBT = "in_doubt"


class Cause(StrEnum):
    """Why a message was refused or not sent."""

    ADDRESS = "address"
    OPTED_OUT = "opted_out"
    CONTENT = "content"
    THROTTLED = "throttled"
    CONNECT = "connect"


NO_TURN = "no_turn"  # code of a throttle of our own: the batch's time was over before this message was tried at all


class End(StrEnum):
    """How one passage of a user through a journey ended."""

    GOAL_REACHED = "goal_reached"
    EXIT_RULE = "exit_rule"
    OPTED_OUT = "opted_out"
    SUPPRESSED = "suppressed"
    UNRESPONSIVE = "unresponsive"
    ERASED = "erased"
    FINISHED = "finished"
    OPERATOR = "operator"
    RETIRED = "retired"


# A gate reason whose action is `exit`, and the end it gives the enrolment.
END_OF: dict[Reason, End] = {
    Reason.ERASED: End.ERASED,
    Reason.GOAL_REACHED: End.GOAL_REACHED,
    Reason.EXIT_RULE: End.EXIT_RULE,
    Reason.NOT_ELIGIBLE: End.EXIT_RULE,
    Reason.SUPPRESSED: End.SUPPRESSED,
    Reason.UNRESPONSIVE: End.UNRESPONSIVE,
}


class ReceiptKind(StrEnum):
    """What a provider or the person tells us later about one send."""

    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    OPENED = "opened"
    CLICKED = "clicked"
    ANSWERED = "answered"
    DISMISSED = "dismissed"
    OPTED_OUT = "opted_out"
    COMPLAINED = "complained"


class Holdout(StrEnum):
    """Is this enrolment messaged, or measured without messages?"""

    TREATED = "treated"
    JOURNEY = "journey"
    PROGRAMME = "programme"
