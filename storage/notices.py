"""Listens for PostgreSQL's notices (migration 0002) and hands them to a worker's directory."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import threading

import psycopg
from django.db import connection

from storage.directory import Directory

log = logging.getLogger(__name__)
CHANNEL = "cloudbox_store"
PAUSE_SECONDS = 1.0
WAKE_SECONDS = 1.0


class Notices(threading.Thread):
    """A thread with a connection of its own. Whenever it has been deaf, it says that everything may have changed."""

    def __init__(self, directory: Directory, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(name="notices", daemon=True)
        self._directory, self._loop = directory, loop
        self._stopping = threading.Event()
        self._wake = os.eventfd(0)

    def stop(self) -> None:
        """At once, whatever it waits for."""
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        self.join(WAKE_SECONDS * 3)
        if not self.is_alive():
            os.close(self._wake)

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except psycopg.Error as error:
                log.warning("notices of the database are interrupted: %s", str(error).strip())
                self._tell(self._directory.changed_everything)
                self._stopping.wait(PAUSE_SECONDS)

    def _listen(self) -> None:
        parameters = {**connection.get_connection_params()}
        wanted = {name: parameters[name] for name in ("dbname", "user", "host", "port", "password") if parameters.get(name)}
        with psycopg.connect(**wanted, autocommit=True, application_name="cloudbox data plane") as heard:
            heard.execute(f"LISTEN {CHANNEL}")
            self._tell(self._directory.changed_everything)
            while not self._stopping.is_set():
                select.select([heard.fileno(), self._wake], [], [], WAKE_SECONDS)
                for notice in heard.notifies(timeout=0):
                    kind, _, name = notice.payload.partition(" ")
                    self._tell(self._directory.changed, kind, name)
                    if self._stopping.is_set():
                        return

    def _tell(self, function: object, *args: str) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *args)  # type: ignore[arg-type]
        except RuntimeError:
            self._stopping.set()  # The loop is closed: the worker ends.
