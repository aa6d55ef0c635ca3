"""Can this host run guests by KVM? Asked by running one: 512 bytes that write to QEMU's debug-exit port.

/dev/kvm alone says little: on a nested host it may open and the guest then never run. And QEMU is asked as the user under which
it will run, since root may open what that user may not.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Any

from compute.drivers.qemu_user import qemu_user

DEADLINE_SECONDS = 5.0
DONE = 85  # isa-debug-exit ends QEMU with (value << 1) | 1
# cli; count down from 3,000,000; out 0xf4, 42; hlt forever
CODE = bytes.fromhex("fa 66b9c0c62d00 6649 75fc b02a e6f4 f4 ebfd")
SECTOR = CODE.ljust(510, b"\0") + b"\x55\xaa"


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    name: str  # kvm | tcg
    reason: str  # a sentence: why this one


def probe(deadline_seconds: float = DEADLINE_SECONDS) -> Accelerator:
    """Run it once per start of the box and keep the answer."""
    if not os.path.exists("/dev/kvm"):
        return Accelerator(name="tcg", reason="This host has no /dev/kvm: machines are emulated, about ten times slower.")
    problem = run_guest("kvm", deadline_seconds=deadline_seconds)
    if problem is None:
        return Accelerator(name="kvm", reason="A test guest ran by KVM.")
    return Accelerator(name="tcg", reason=f"KVM is not usable here ({problem}): machines are emulated, about ten times slower.")


def run_guest(accelerator: str, *, deadline_seconds: float) -> str | None:
    """Run the test guest; None when it came to its end, else what went wrong."""
    user = qemu_user()
    # Only root can become somebody else; a developer asks as themselves.
    become: dict[str, Any] = {"user": user.uid, "group": user.gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.write(SECTOR)
        disk.flush()
        os.chmod(disk.name, 0o644)
        argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-m", "16", "-no-reboot"]
        argv += ["-machine", f"pc,accel={accelerator}", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        argv += ["-drive", f"file={disk.name},format=raw,if=floppy,readonly=on", "-boot", "a"]
        try:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=deadline_seconds, check=False, **become
            )
        except FileNotFoundError:
            return "qemu-system-x86_64 is not installed"
        except subprocess.TimeoutExpired:
            return f"the test guest did not finish in {deadline_seconds:g} seconds"
    if done.returncode == DONE:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1].removeprefix("qemu-system-x86_64: ") if lines else f"QEMU ended with {done.returncode}"
