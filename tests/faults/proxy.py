"""What happens when the connection to PostgreSQL is lost at the worst moment? A proxy that drops it around COMMIT."""

from __future__ import annotations

import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from sqlalchemy import URL


class Proxy:
    """Stands between a client and the server on a Unix socket; drops the connection of the commits it is told to."""

    def __init__(self, real: URL) -> None:
        host, self._port = str(real.query.get("host", real.host)), int(real.port or 5432)
        self._server = f"{host}/.s.PGSQL.{self._port}"
        self._folder = tempfile.TemporaryDirectory(prefix="recall-proxy-")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(Path(self._folder.name) / f".s.PGSQL.{self._port}"))
        self._listener.listen(64)
        self._lock = threading.Lock()
        self._countdown: int | None = None
        self._word, self._delivers, self._is_silent = b"COMMIT", True, False
        self._half_open: list[socket.socket] = []
        self.dropped = 0
        self.url = real.set(host=None, query={**real.query, "host": self._folder.name})
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self, nth: int, *, word: bytes = b"COMMIT", delivers: bool, silent: bool = False) -> None:
        """Lose the connection at the nth request with this word: after the server did it, or before it heard of it.

        `silent`: the server never learns that nobody is there any more, as behind a cut cable.
        """
        with self._lock:
            self._countdown, self._word, self._delivers, self._is_silent = nth, word, delivers, silent

    def close(self) -> None:
        self._listener.close()
        for server in self._half_open:
            _shut(server)
        self._folder.cleanup()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answer, args=(server, client), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        """What the client says."""
        try:
            while data := client.recv(1 << 16):
                if self._word in data and self._is_the_one():
                    if self._delivers:
                        _shut(client)  # who hears nothing more, whatever the server answers
                        server.sendall(data)
                    if self._is_silent:
                        self._half_open.append(server)
                    return
                server.sendall(data)
        except OSError:
            pass
        finally:
            _shut(client)
            if server not in self._half_open:
                _shut(server)

    def _is_the_one(self) -> bool:
        with self._lock:
            if self._countdown is None:
                return False
            self._countdown -= 1
            if self._countdown:
                return False
            self._countdown, self.dropped = None, self.dropped + 1
            return True

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        """What the server answers."""
        try:
            while data := server.recv(1 << 16):
                client.sendall(data)
        except OSError:
            pass
        finally:
            _shut(client)
            if server not in self._half_open:
                _shut(server)


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
