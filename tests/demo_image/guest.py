"""A guest for tests: QEMU itself, without libvirt, its serial line and QMP on sockets. Always TCG, as on a host without KVM."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BOOT_SECONDS = 180.0  # CI is slow, and others run besides; an idle core takes about 12.


@dataclass
class Guest:
    process: subprocess.Popen[bytes]
    folder: Path
    serial: socket.socket
    said: str = ""
    _read: int = field(default=0)

    def expect(self, text: str, *, seconds: float = BOOT_SECONDS) -> str:
        """Wait until the guest says this, after what was expected before; returns all since then."""
        until = time.monotonic() + seconds
        while (at := self.said.find(text, self._read)) < 0:
            assert time.monotonic() < until, f"{text!r} did not come in {seconds:g} seconds; the guest said:\n{self.said}"
            self.serial.settimeout(max(0.1, until - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                data = self.serial.recv(4096)
                assert data, f"The guest has ended before it said {text!r}; it said:\n{self.said}"
                self.said += data.decode("utf-8", "replace")
        start, self._read = self._read, at + len(text)
        return self.said[start : self._read]

    def type(self, line: str) -> None:
        self.serial.sendall(line.encode() + b"\r")

    def run(self, line: str, *, seconds: float = 60.0) -> str:
        """What a command prints, between two marks that are not in the line itself."""
        self.type(f"echo '<''<'; {line}; echo '>''>'")
        self.expect("<<\r\n", seconds=seconds)
        return self.expect(">>\r\n", seconds=seconds)[:-4].replace("\r\n", "\n")

    def qmp(self, command: str, **arguments: Any) -> Any:
        return _ask(self.folder / "qmp", {"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}, greeting=True)

    def agent(self, command: str, **arguments: Any) -> Any:
        return _ask(self.folder / "agent", {"execute": command, "arguments": arguments}, greeting=False)

    def cpu_seconds(self) -> float:
        words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def _ask(path: Path, *questions: dict[str, Any], greeting: bool) -> Any:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(30)
        line.connect(str(path))
        answers = line.makefile()
        if greeting:
            answers.readline()
        answer: Any = None
        for question in questions:
            line.sendall(json.dumps(question).encode() + b"\n")
            while "return" not in (answer := json.loads(answers.readline())):
                assert "event" in answer, answer
        return answer["return"]


@contextlib.contextmanager
def booted(image: Path, folder: Path, *, memory_mib: int = 128, disk_gib: int = 1, more: Sequence[str] = ()) -> Iterator[Guest]:
    """A machine with a disk of its own on top of the image, as the box makes it; gone at the end."""
    disk = folder / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, disk, f"{disk_gib}G"], check=True)
    # As much room for translated code as compute.drivers.libvirt gives.
    command = ["qemu-system-x86_64", "-nodefaults", "-machine", "q35", "-accel", "tcg,tb-size=128", "-cpu", "max", "-m", str(memory_mib)]
    command += ["-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe", "-vga", "std", "-display", "none"]
    command += ["-chardev", f"socket,id=serial,path={folder}/serial,server=on,wait=on", "-serial", "chardev:serial"]
    command += ["-qmp", f"unix:{folder}/qmp,server=on,wait=off", "-device", "virtio-serial-pci", "-device", "virtio-balloon-pci"]
    command += ["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"]
    command += ["-chardev", f"socket,id=agent,path={folder}/agent,server=on,wait=off"]
    command += ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0", *more]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=(folder / "qemu.log").open("wb"), stderr=subprocess.STDOUT)
    try:
        serial = socket.socket(socket.AF_UNIX)
        until = time.monotonic() + 30
        while serial.connect_ex(str(folder / "serial")) != 0:
            assert process.poll() is None, (folder / "qemu.log").read_text()
            assert time.monotonic() < until, "QEMU opens no serial line"
            time.sleep(0.05)
        with serial:
            yield Guest(process, folder, serial)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
