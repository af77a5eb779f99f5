"""Where does `recall up` listen, and what must every process of it know?"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from recall.cli.cluster import PASSWORD_FILE, PREFECT_DATABASE, draw_password
from recall.cli.server import RARE_WRITES
from recall.errors import Misconfigured

if TYPE_CHECKING:
    from recall.cli.context import App

USUAL_PORT = 4200
AUTH = "PREFECT_SERVER_API_AUTH_STRING"
KEPT_SECONDS = str(30 * 86_400)  # Prefect's runs, with their tasks, logs and artifacts
# Prefect's own are in memory: a server started again knows that the one slot of a journey is taken, but not until when.
LEASES = "prefect.server.concurrency.lease_storage.filesystem"


@dataclass(frozen=True)
class Place:
    """Where the server listens, and what every process of ours must know."""

    host: str
    port: int
    home: Path  # Prefect's files and the logs
    environment: dict[str, str] = field(repr=False)
    of_server: dict[str, str] = field(repr=False)  # what only the server must know, on top
    password_file: Path | None = None  # where the password is that we drew

    @property
    def url(self) -> str:
        return self.environment["PREFECT_API_URL"].removesuffix("/api")

    @classmethod
    def choose(cls, app: App, host: str, port: int | None, *, database: str | None = None) -> Place:
        """Raises Misconfigured where strangers could reach a server without a password, or the port is taken.

        `database`: in a cluster, the URL of Prefect's own or ""; there a password is drawn where none is given.
        """
        from recall.settings import child_environment

        given = child_environment()
        drawn = home_of(app) / PASSWORD_FILE if database is not None and not given.get(AUTH) else None
        password = draw_password(drawn) if drawn else given.get(AUTH, "")
        if not _is_loopback(host) and not password:
            raise Misconfigured(
                f"{host} can be reached by others, and whoever reaches a Prefect server can start flows; "
                f"set {AUTH} to user:password, or leave out --host"
            )
        port = free_port(host, port)
        environment = child_environment(**_of_all(app, given, host, port, password))
        return cls(host, port, home_of(app), environment, server_settings(given, password, database or ""), drawn)


def home_of(app: App) -> Path:
    """The folder of Prefect's files and the logs."""
    return (app.settings.var_dir / "prefect").resolve()


def _of_all(app: App, given: Mapping[str, str], host: str, port: int, password: str) -> dict[str, str]:
    settings = app.settings
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
    more = {
        # The server needs it too: else its pages ask 127.0.0.1:4200.
        "PREFECT_API_URL": f"http://{f'[{shown}]' if ':' in shown else shown}:{port}/api",
        "PREFECT_HOME": str(home_of(app)),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": given.get("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", "30"),
        "DO_NOT_TRACK": "1",
        "RECALL_PROJECT_DIR": str(settings.project_dir.resolve()),
        "RECALL_VAR_DIR": str(settings.var_dir.resolve()),
        "RECALL_DATABASE_URL": settings.store_url,
    }
    return more | ({"PREFECT_API_AUTH_STRING": password} if password else {})


def server_settings(given: Mapping[str, str], password: str, database: str) -> dict[str, str]:
    """By itself Prefect keeps runs, tasks, logs and artifacts for ever, and slots only in memory."""
    ours = {
        **RARE_WRITES,
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": KEPT_SECONDS,
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES,
    }
    ours |= {AUTH: password} if password else {}
    ours |= {PREFECT_DATABASE: database} if database else {}
    return ours | {name: given[name] for name in ours if name in given}


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def free_port(host: str, wanted: int | None) -> int:
    """The wanted port; without a wish Prefect's usual one, or any that is free."""
    for port in [wanted] if wanted is not None else [USUAL_PORT, 0]:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Misconfigured(f"port {wanted} of {host} is taken; choose another with --port, or leave it out")
