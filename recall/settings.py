"""What may be set from outside? Every setting, read once by `load()`; the only place that reads the environment."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

# Before the first model is built pydantic looks through every installed package for plugins, at each start of ours.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")


class Mode(StrEnum):
    DRY_RUN = "dry-run"  # the gate decides, nothing is written
    REHEARSAL = "rehearsal"  # everything but the call
    TEST_RECIPIENTS = "test-recipients"  # only users marked as test recipients
    LIVE = "live"


def _listed(value: object) -> object:
    """Several values in one variable, separated by commas."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    """Read from `RECALL_*` variables and a `.env` file of the project folder."""

    model_config = SettingsConfigDict(
        env_prefix="RECALL_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    project_dir: Path = Path()  # where an adopter's journeys, policies and templates live
    var_dir: Path = Path("var")  # what recall writes: store, outbox, spool, rejects
    database_url: str = ""  # "" = SQLite in var_dir; or postgresql+psycopg://…
    address_key: SecretStr | None = None  # HMAC key of suppressions; None = key file in var_dir
    mode: Mode = Mode.LIVE
    test_recipients: Annotated[frozenset[str], NoDecode] = frozenset()  # user ids
    allow_weak_durability: bool = False  # start although the store may forget a commit
    default_region: str | None = None  # ISO 3166 region of phone numbers written without a country code
    world_url: str = ""  # file of the simulated people; "" = var_dir/world.db
    provider_options: dict[str, dict[str, str]] = Field(default_factory=dict, repr=False)  # may hold secrets
    twilio_account_sid: str = ""  # of every Twilio account that `provider_options` does not give one of its own
    twilio_auth_token: SecretStr = SecretStr("")  # signs their webhooks; also our key, unless there is an API key
    twilio_api_key_sid: str = ""
    twilio_api_key_secret: SecretStr = SecretStr("")
    preflight_days: int = Field(30, ge=1)  # live messages want a green `recall doctor` no older than this
    retry_seconds: float = Field(10.0, gt=0)  # pause before a failed batch is tried again; doubles each time
    public_url: str = ""  # where vendors and people reach `recall serve`
    signing_keys: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_listed)] = ()  # the first one signs
    web_api_keys: dict[str, SecretStr] = Field(default_factory=dict)  # id -> secret; who may POST /events, /consents
    link_hosts: Annotated[frozenset[str], NoDecode, BeforeValidator(_listed)] = frozenset()  # where links may lead
    app_scheme: str = ""  # of the app's deep links: "example" for example://loan
    store_url_ios: str = ""  # where the app is to be had
    store_url_android: str = ""
    owners: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()  # e-mails that get the weekly page
    owners_provider: str = "sendgrid_email"  # which takes the weekly page to them
    confirm_urls: dict[str, str] = Field(default_factory=dict)  # name -> URL asked right before a call step
    log_level: str = "INFO"

    @property
    def store_url(self) -> str:
        """The database URL, with the SQLite default filled in."""
        return self.database_url or f"sqlite:///{(self.var_dir / 'recall.db').resolve()}"


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a process we start: this one's, with `more` on top."""
    return {**os.environ, **more}


def load(**overrides: object) -> Settings:
    """The settings of this process; `overrides` win over the environment. `var_dir` is read below `project_dir`."""
    read = Settings(**overrides)  # type: ignore[arg-type]  # values are checked by pydantic
    return read.model_copy(update={"var_dir": read.project_dir / read.var_dir})
