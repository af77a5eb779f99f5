"""How is the web door opened, and the reconciler kept running beside it?"""

from __future__ import annotations

import ipaddress
import signal
from typing import TYPE_CHECKING

import click

from recall.cli.context import App, pass_app
from recall.errors import Misconfigured

if TYPE_CHECKING:
    from recall.settings import Settings

PORT = 8080
GRACE_SECONDS = 8  # for open requests; with the reconciler's last pass, 15 s in all


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="Port to listen at.")
@pass_app
def serve(app: App, host: str, port: int) -> None:
    """Take webhooks, clicks, opt-outs and events; settle doubts each minute. Runs until stopped.

    \b
    Example:
      recall serve
      recall serve --host 0.0.0.0 --port 8080     behind a proxy that speaks https
    """
    settings = reachable(app.settings, host, port)
    refuse_open_door(settings, host)
    run(app, settings, host, port)


def run(app: App, settings: Settings, host: str, port: int) -> None:
    """Serve until a signal comes."""
    import uvicorn

    from recall.engine.setup import open_setup
    from recall.web.app import create_app
    from recall.web.logs import log_as_json
    from recall.web.loop import Reconciler

    log_as_json(settings)
    setup = open_setup(settings, store=app.store)
    reconciler = Reconciler(setup)
    web = create_app(setup, settings, beat=reconciler.beat)
    reconciler.start()
    signal.signal(signal.SIGTERM, _end)  # uvicorn raises it again when it is done; by itself it would end us at once
    try:
        uvicorn.run(
            web,
            host=host,
            port=port,
            log_config=None,  # ours masks what must not be shown
            access_log=False,  # paths hold tokens
            server_header=False,
            proxy_headers=False,  # nobody may say where they come from
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    finally:
        reconciler.stop()
        for provider in setup.providers.values():
            setup.dispatcher.run(provider.close())


def _end(*_: object) -> None:
    raise SystemExit(0)


def reachable(settings: Settings, host: str, port: int) -> Settings:
    """On a laptop nobody needs to say what the public address is."""
    if settings.public_url or not is_loopback(host):
        return settings
    return settings.model_copy(update={"public_url": f"http://{'[::1]' if ':' in host else host}:{port}"})


def refuse_open_door(settings: Settings, host: str) -> None:
    """Beyond this machine only with keys for those who post, and under https."""
    if is_loopback(host):
        return
    missing = [] if settings.web_api_keys else ["RECALL_WEB_API_KEYS (who may post events and consents)"]
    missing += [] if settings.public_url.startswith("https://") else ["RECALL_PUBLIC_URL (an https:// address)"]
    if missing:
        raise Misconfigured(
            f"{host} can be reached from other machines; set {' and '.join(missing)} first, or listen at 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
