"""The guests inside the fake hypervisor: one thread answers on the serial and screen sockets of all of them.

A serial line greets with a prompt and echoes; `echo words` answers with the words, `poweroff` powers the machine off.
The sockets open when somebody first asks for them, so a thousand machines cost no file descriptors.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

PROMPT = b"fake login: root\r\n~ # "
RFB_GREETING = b"RFB 003.008\n"


@dataclass
class _Line:
    id: UUID
    listener: socket.socket
    path: Path
    log: Path | None  # None: the screen, which is not logged
    clients: dict[socket.socket, bytearray] = field(default_factory=dict)


class Guests:
    """Opens, serves and closes the sockets of the machines that are on."""

    def __init__(self, poweroff: Callable[[UUID], None]) -> None:
        self._poweroff = poweroff
        self._lines: dict[Path, _Line] = {}
        self._lock = threading.RLock()
        self._selector = selectors.DefaultSelector()
        self._wake, other = socket.socketpair()
        self._wake.setblocking(False)
        self._wakened = other
        self._thread: threading.Thread | None = None

    def open(self, id: UUID, path: Path, *, log: Path | None) -> None:
        with self._lock:
            if path in self._lines:
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen()
            listener.setblocking(False)
            line = self._lines[path] = _Line(id, listener, path, log)
            self._selector.register(listener, selectors.EVENT_READ, line)
            if self._thread is None:
                self._selector.register(self._wakened, selectors.EVENT_READ, None)
                self._thread = threading.Thread(target=self._serve, name="fake-guests", daemon=True)
                self._thread.start()
            self._wake.send(b"x")

    def close(self, path: Path) -> None:
        with self._lock:
            line = self._lines.pop(path, None)
            if line is None:
                return
            for each in (line.listener, *line.clients):
                self._selector.unregister(each)
                each.close()
            path.unlink(missing_ok=True)

    def close_all(self) -> None:
        with self._lock:
            for path in list(self._lines):
                self.close(path)
            thread, self._thread = self._thread, None
            self._wake.send(b"q")
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _serve(self) -> None:
        while self._thread is not None:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._wakened.recv(64)
                    continue
                off = False
                with self._lock:
                    # A line closed since select() returned is no longer registered.
                    if key.fileobj in self._selector.get_map():
                        off = self._ready(key.data, key.fileobj)  # type: ignore[arg-type]
                if off:  # Outside the lock: it takes the hypervisor's, whose calls take ours.
                    self._poweroff(key.data.id)

    def _ready(self, line: _Line, sock: socket.socket) -> bool:
        """Serve one socket; true when the guest was told to power off."""
        if sock is line.listener:
            client, _ = line.listener.accept()
            client.setblocking(False)
            line.clients[client] = bytearray()
            self._selector.register(client, selectors.EVENT_READ, line)
            self._say(line, client, PROMPT if line.log else RFB_GREETING)
            return False
        try:
            data = sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(sock)
            del line.clients[sock]
            sock.close()
        elif line.log:
            return self._typed(line, sock, data)
        else:
            self._say(line, sock, data)
        return False

    def _typed(self, line: _Line, sock: socket.socket, data: bytes) -> bool:
        pending = line.clients[sock]
        pending += data
        self._say(line, sock, data.replace(b"\r", b"\r\n"))
        while (end := pending.find(b"\r")) >= 0:
            command = bytes(pending[:end])
            del pending[: end + 1]
            if command.startswith(b"echo "):
                self._say(line, sock, command[5:] + b"\r\n")
            if command == b"poweroff":
                return True
            self._say(line, sock, b"~ # ")
        return False

    def _say(self, line: _Line, sock: socket.socket, data: bytes) -> None:
        if line.log:
            line.log.parent.mkdir(parents=True, exist_ok=True)
            with line.log.open("ab") as log:
                log.write(data)
        try:
            sock.send(data)
        except OSError:
            pass  # A viewer that is gone or full loses bytes, as on a real serial line.
