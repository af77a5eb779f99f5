"""Why was a row of a file not taken? A closed list, each with what to do about it."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why a row is in the rejects file."""

    # the row as it stands in the file
    SHORT_ROW = "short_row"
    LONG_ROW = "long_row"
    UNCLOSED_QUOTE = "unclosed_quote"
    TEXT_AFTER_QUOTE = "text_after_quote"
    NUL = "nul"
    FIELD_TOO_LONG = "field_too_long"
    ROW_TOO_LONG = "row_too_long"
    HEADER_AGAIN = "header_again"
    # any value
    MISSING = "missing"
    CONTROL_CHARACTER = "control_character"
    HIDDEN_CHARACTER = "hidden_character"
    TOO_LONG = "too_long"
    NAME_INVALID = "name_invalid"
    FLAG_INVALID = "flag_invalid"
    UNKNOWN_CHANNEL = "unknown_channel"
    LOCALE_INVALID = "locale_invalid"
    JURISDICTION_INVALID = "jurisdiction_invalid"
    UNKNOWN_ZONE = "unknown_zone"
    # phones
    PHONE_CHARACTERS = "phone_characters"
    PHONE_EXTENSION = "phone_extension"
    PHONE_WITHOUT_COUNTRY = "phone_without_country"
    PHONE_LENGTH = "phone_length"
    PHONE_SHORT_CODE = "phone_short_code"
    PHONE_INVALID = "phone_invalid"
    PHONE_LANDLINE = "phone_landline"
    PHONE_SERVICE = "phone_service"
    SEVERAL_IN_ONE = "several_in_one"
    # e-mails
    EMAIL_INVALID = "email_invalid"
    EMAIL_ROLE = "email_role"
    # times
    TIME_INVALID = "time_invalid"
    TIME_WITHOUT_ZONE = "time_without_zone"
    TIME_IS_EPOCH = "time_is_epoch"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    TIME_IN_FUTURE = "time_in_future"
    TIME_ORDER = "time_order"
    # suppressions
    NOBODY_NAMED = "nobody_named"
    UNKNOWN_KIND = "unknown_kind"
    HASH_INVALID = "hash_invalid"
    ALREADY_OVER = "already_over"
    # against what is known
    CONTRADICTS = "contradicts"
    UNKNOWN_USER = "unknown_user"
    ERASED_USER = "erased_user"
    KEY_TAKEN = "key_taken"
    TOO_OLD = "too_old"


WHAT_TO_DO: dict[Reason, str] = {
    Reason.SHORT_ROW: "fewer fields than the header has; a value may be missing or a line broken in two",
    Reason.LONG_ROW: "more fields than the header has; put values that hold the delimiter in quotes",
    Reason.UNCLOSED_QUOTE: "a quote is opened and not closed on this line; close it, or pass --multiline if quoted"
    " text of this file really spans lines",
    Reason.TEXT_AFTER_QUOTE: "text follows a closing quote; write a quote inside quoted text twice",
    Reason.NUL: "the row holds a NUL byte; export the file again",
    Reason.FIELD_TOO_LONG: "a field is longer than 64 KiB",
    Reason.ROW_TOO_LONG: "the row is longer than 256 KiB",
    Reason.HEADER_AGAIN: "the header stands here a second time; files were probably joined",
    Reason.MISSING: "the value is empty and is needed",
    Reason.CONTROL_CHARACTER: "the value holds a line break, tab or another control character",
    Reason.HIDDEN_CHARACTER: "the value holds an invisible character (zero width, or a change of writing direction)",
    Reason.TOO_LONG: "the value is too long",
    Reason.NAME_INVALID: "an event name begins with a letter and goes on with letters, digits, _ . or -",
    Reason.FLAG_INVALID: "write true or false",
    Reason.UNKNOWN_CHANNEL: "write push, sms, email, call, in_app or task",
    Reason.LOCALE_INVALID: "write a locale such as zh-CN",
    Reason.JURISDICTION_INVALID: "write two letters, such as CN, US or EU",
    Reason.UNKNOWN_ZONE: "write an IANA time zone, such as Asia/Shanghai",
    Reason.PHONE_CHARACTERS: "the phone holds letters or signs that no phone number has",
    Reason.PHONE_EXTENSION: "an extension cannot be messaged; give the person's own number",
    Reason.PHONE_WITHOUT_COUNTRY: "write the number as +country…, or say --region, such as --region CN",
    Reason.PHONE_LENGTH: "the number is too short or too long for its country",
    Reason.PHONE_SHORT_CODE: "this is a short code, not a person's number",
    Reason.PHONE_INVALID: "there is no such number in the numbering plan of its country",
    Reason.PHONE_LANDLINE: "a landline takes no SMS; give the mobile number, or say --landlines for calls",
    Reason.PHONE_SERVICE: "premium, free-phone and other service numbers are nobody's own",
    Reason.SEVERAL_IN_ONE: "one cell holds several; give one per row",
    Reason.EMAIL_INVALID: "this is not an e-mail address, such as name@example.com",
    Reason.EMAIL_ROLE: "nobody reads messages at this address (postmaster, abuse, noreply …)",
    Reason.TIME_INVALID: "write ISO 8601, such as 2026-03-01T10:00:00+08:00, or a date",
    Reason.TIME_WITHOUT_ZONE: "the time has no zone; say --zone, such as --zone Asia/Shanghai",
    Reason.TIME_IS_EPOCH: "this looks like seconds or milliseconds since 1970; say --times epoch_s or epoch_ms",
    Reason.TIME_OUT_OF_RANGE: "the year is not between 1900 and 2200",
    Reason.TIME_IN_FUTURE: "the time is more than a day ahead",
    Reason.TIME_ORDER: "the end lies before the beginning",
    Reason.NOBODY_NAMED: "give a phone, an e-mail, a push token, a user, or kind and hash",
    Reason.UNKNOWN_KIND: "write phone, email, push or user (a user is named by the id itself, never by hash)",
    Reason.HASH_INVALID: "a hash is 64 digits 0-9 a-f, made with the key of this store",
    Reason.ALREADY_OVER: "the suppression ended before today",
    Reason.CONTRADICTS: "an earlier line says something else about the same user; keep the right one",
    Reason.UNKNOWN_USER: "import this user first, or say --create-users",
    Reason.ERASED_USER: "this person asked to be forgotten and is not brought back",
    Reason.KEY_TAKEN: "an event with this id is there already, and tells something else",
    Reason.TOO_OLD: "the event is older than events are kept (`retention` of the policy)",
}


class Rejected(Exception):
    """This row is not taken; `column` is the file's own name, "" when the whole row is meant."""

    def __init__(self, reason: Reason, column: str = "") -> None:
        super().__init__(f"{reason.value} [{column}]")
        self.reason = reason
        self.column = column
