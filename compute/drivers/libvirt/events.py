"""Changes of power as they happen. One watcher thread keeps a connection of its own, and after losing the daemon reports every
machine once, so that nothing that changed meanwhile is missed.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import libvirt

from compute.drivers.libvirt.connection import open_connection
from compute.drivers.libvirt.states import Powers, machine_id
from compute.drivers.specs import ON, MachineEvent, Power

log = logging.getLogger(__name__)

RESYNC_SECONDS = 10.0
RECONNECT_SECONDS = (0.1, 0.2, 0.5, 1.0)  # the last one repeats

_STOPPED = {
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: (Power.POWERED_OFF, "guest powered off"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: (Power.SHUTOFF, "stopped"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: (Power.CRASHED, "crashed"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: (Power.CRASHED, "failed"),
    libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED: (Power.SAVED, "saved"),
}


def translate(id: UUID, event: int, detail: int) -> MachineEvent | None:
    """What libvirt reports, as ours; None for what changes no power."""
    match event:
        case libvirt.VIR_DOMAIN_EVENT_STARTED:
            restored = detail == libvirt.VIR_DOMAIN_EVENT_STARTED_RESTORED
            return MachineEvent(id=id, power=Power.RUNNING, why="restored" if restored else "booted")
        case libvirt.VIR_DOMAIN_EVENT_RESUMED:
            return MachineEvent(id=id, power=Power.RUNNING, why="resumed")
        case libvirt.VIR_DOMAIN_EVENT_SUSPENDED:
            full = detail == libvirt.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR
            return MachineEvent(id=id, power=Power.PAUSED, why="paused: its disk failed or is full" if full else "paused")
        case libvirt.VIR_DOMAIN_EVENT_STOPPED:
            power, why = _STOPPED.get(detail, (Power.SHUTOFF, "stopped"))
            return MachineEvent(id=id, power=power, why=why)
        case libvirt.VIR_DOMAIN_EVENT_CRASHED:
            return MachineEvent(id=id, power=Power.CRASHED, why="crashed")
        case libvirt.VIR_DOMAIN_EVENT_UNDEFINED:
            return MachineEvent(id=id, power=Power.ABSENT, why="undefined")
    return None


class Watcher:
    """Calls back until ended. libvirt's loop only enqueues: a callback that took its time there would hold up every call."""

    def __init__(self, home: Path, box: str, powers: Powers, callback: Callable[[MachineEvent], None]) -> None:
        self._home = home
        self._box = box
        self._powers = powers
        self._callback = callback
        # An event, or None for "the connection is gone".
        self._inbox: queue.SimpleQueue[MachineEvent | None] = queue.SimpleQueue()
        self._told: dict[UUID, Power] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="machine-events", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._inbox.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        attempt = 0
        while not self._ended.is_set():
            try:
                connection = self._connect()
            except libvirt.libvirtError:
                self._ended.wait(RECONNECT_SECONDS[min(attempt, len(RECONNECT_SECONDS) - 1)])
                attempt += 1
                continue
            attempt = 0
            self._follow(connection)
            self._leave(connection)

    def _follow(self, connection: libvirt.virConnect) -> None:
        """Pass events on until the connection is gone."""
        while True:
            try:
                event = self._inbox.get(timeout=RESYNC_SECONDS)
            except queue.Empty:
                try:
                    self._resync(connection)
                except libvirt.libvirtError:
                    return
                continue
            if event is None:
                return
            self._tell(event)

    def _resync(self, connection: libvirt.virConnect) -> None:
        """Tell what no event told. libvirt sends none for a machine whose QEMU dies while the daemon is still finding it again.
        One cheap call when all is as told."""
        on = {id for each in connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE) if (id := machine_id(self._box, each))}
        told_on = {id for id, power in self._told.items() if power in ON}
        if on != told_on:
            known = {id: each for each in connection.listAllDomains() if (id := machine_id(self._box, each))}
            for id in on ^ told_on:
                power = self._powers.of(known[id]) if id in known else Power.ABSENT
                self._tell(MachineEvent(id=id, power=power, why="found"))

    def _connect(self) -> libvirt.virConnect:
        """Events first, then the list: a change between the two is told twice rather than not at all."""
        connection = open_connection(self._home)
        try:
            self._inbox = queue.SimpleQueue()
            inbox = self._inbox
            connection.registerCloseCallback(lambda *_: inbox.put(None), None)
            connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle, inbox)
            for domain in connection.listAllDomains():
                if id := machine_id(self._box, domain):
                    inbox.put(MachineEvent(id=id, power=self._powers.of(domain), why="connected"))
        except libvirt.libvirtError:
            self._leave(connection)
            raise
        if self._ended.is_set():
            inbox.put(None)
        return connection

    def _leave(self, connection: libvirt.virConnect) -> None:
        for undo in (connection.unregisterCloseCallback, connection.close):
            try:
                undo()
            except libvirt.libvirtError:
                continue

    def _lifecycle(
        self,
        _connection: libvirt.virConnect,
        domain: libvirt.virDomain,
        event: int,
        detail: int,
        inbox: queue.SimpleQueue[MachineEvent | None],
    ) -> None:
        id = machine_id(self._box, domain)
        if id and event == libvirt.VIR_DOMAIN_EVENT_SHUTDOWN and detail == libvirt.VIR_DOMAIN_EVENT_SHUTDOWN_HOST:
            self._powers.ended_by_host(id)
        if id and event == libvirt.VIR_DOMAIN_EVENT_STARTED:
            self._powers.started(id)
        if id and (ours := translate(id, event, detail)):
            inbox.put(replace(ours, power=self._powers.off(id, ours.power)))

    def _tell(self, event: MachineEvent) -> None:
        self._told[event.id] = event.power
        if event.power is Power.ABSENT:
            del self._told[event.id]
        try:
            self._callback(event)
        except Exception:
            # Losing one event costs freshness, losing the thread would cost all of them.
            log.exception("The handler of an event failed: machine %s became %s.", event.id, event.power)
