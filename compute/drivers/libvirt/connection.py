"""One connection to the box's libvirtd that opens when needed and comes back after the daemon was lost; libvirt's errors as meanings."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt

from cloudbox.common.errors import CloudError, Conflict, InsufficientCapacity, NotFound, NotSupported, Unavailable
from compute.drivers import libvirt_daemon

KEEPALIVE_SECONDS = 5
KEEPALIVE_COUNT = 6

_loop_lock = threading.Lock()
_loop: threading.Thread | None = None


def _silent(_context: object, _error: object) -> None:
    """libvirt prints every error to stderr by default; ours travel as exceptions."""


def start_event_loop() -> None:
    """libvirt's own event loop, once per process and before the first connection: events, keepalive, and streams need it."""
    global _loop
    with _loop_lock:
        if _loop is not None:
            return
        libvirt.registerErrorHandler(_silent, None)
        libvirt.virEventRegisterDefaultImpl()
        _loop = threading.Thread(target=_run_loop, name="libvirt-events", daemon=True)
        _loop.start()


def _run_loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError:
            continue


def open_connection(home: Path) -> libvirt.virConnect:
    start_event_loop()
    connection = libvirt.open(libvirt_daemon.uri(home))
    # A daemon that hangs is as bad as one that died: half a minute without an answer ends the connection.
    connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT)
    return connection


class Connection:
    """Shared by all threads of a process: libvirt sends their calls side by side over the one socket."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()
        self._connection: libvirt.virConnect | None = None

    @contextmanager
    def use(self, *, resource: object = None) -> Iterator[libvirt.virConnect]:
        """The open connection; what libvirt raises inside leaves as a meaning."""
        connection = self._open()
        try:
            yield connection
        except libvirt.libvirtError as error:
            if self._dead(connection):
                self._drop(connection)
                raise Unavailable("The connection to the hypervisor was lost.", resource=str(resource)) from error
            raise meaning(error, resource=resource) from error

    def close(self) -> None:
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            _quietly(connection.close)

    def _open(self) -> libvirt.virConnect:
        with self._lock:
            if self._connection is not None and self._dead(self._connection):
                _quietly(self._connection.close)
                self._connection = None
            if self._connection is None:
                try:
                    self._connection = open_connection(self._home)
                except libvirt.libvirtError as error:
                    raise Unavailable("The hypervisor does not answer.") from error
            return self._connection

    def _drop(self, connection: libvirt.virConnect) -> None:
        with self._lock:
            if self._connection is connection:
                self._connection = None

    @staticmethod
    def _dead(connection: libvirt.virConnect) -> bool:
        try:
            return not connection.isAlive()
        except libvirt.libvirtError:
            return True


def _quietly(function: Callable[[], object]) -> None:
    try:
        function()
    except libvirt.libvirtError:
        pass


# https://libvirt.org/html/libvirt-virterror.html
_MEANINGS: dict[int, tuple[type[CloudError], str]] = {
    libvirt.VIR_ERR_NO_DOMAIN: (NotFound, "The hypervisor knows no such machine."),
    libvirt.VIR_ERR_OPERATION_INVALID: (Conflict, "The machine's state does not allow this now."),
    libvirt.VIR_ERR_NO_MEMORY: (InsufficientCapacity, "The host has no memory left for this machine."),
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED: (NotSupported, "This host cannot run a machine of this description."),
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED: (NotSupported, "The hypervisor cannot do this."),
    libvirt.VIR_ERR_NO_SUPPORT: (NotSupported, "The hypervisor cannot do this."),
    libvirt.VIR_ERR_OPERATION_TIMEOUT: (Unavailable, "The machine is busy with another operation."),
}
# QEMU says these on its way out; libvirt passes the words on as an internal error.
_FULL = ("cannot allocate memory", "cannot set up guest memory", "no space left on device")


def meaning(error: libvirt.libvirtError, *, resource: object = None) -> CloudError:
    """The error as one of ours. The hypervisor's own words stay in the cause: they name files of the host."""
    words = (error.get_error_message() or "").lower()
    if any(each in words for each in _FULL):
        return InsufficientCapacity("The host has no room left for this machine.", resource=str(resource))
    kind, sentence = _MEANINGS.get(error.get_error_code(), (Unavailable, "The hypervisor failed to do this."))
    return kind(sentence, resource=str(resource))
