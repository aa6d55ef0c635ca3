"""The agent in the guest, by way of libvirt: file systems held still, facts, passwords.

A guest may have no agent, one that hangs, or one that lies. Each call has its own deadline, and "no agent" is an answer, not an error
(https://libvirt.org/html/libvirt-libvirt-qemu.html, https://www.qemu.org/docs/master/interop/qemu-ga-ref.html).
"""

from __future__ import annotations

import libvirt

from cloudbox.common.errors import Conflict
from compute.drivers.guest_facts import GuestFacts, parse

ANSWER_SECONDS = 5
# Writing out what a busy guest has in memory takes its time.
FREEZE_SECONDS = 20
# What libvirt says of an agent that does not answer: no channel, nobody at it, a deadline passed; or of a machine that is off.
_SILENT_NAMES = (
    "VIR_ERR_AGENT_UNRESPONSIVE VIR_ERR_AGENT_UNSYNCED VIR_ERR_AGENT_COMMAND_TIMEOUT VIR_ERR_ARGUMENT_UNSUPPORTED VIR_ERR_OPERATION_INVALID"
)
# Releases before 9.1 call an agent's refusal an internal error.
_REFUSED_NAMES = "VIR_ERR_AGENT_COMMAND_FAILED VIR_ERR_INTERNAL_ERROR VIR_ERR_OPERATION_UNSUPPORTED"


def _codes(names: str) -> frozenset[int]:
    """Their numbers, as far as this release of libvirt has them."""
    return frozenset(getattr(libvirt, name) for name in names.split() if hasattr(libvirt, name))


SILENT, REFUSED = _codes(_SILENT_NAMES), _codes(_REFUSED_NAMES)


def freeze(domain: libvirt.virDomain) -> bool:
    """True: all is written and nothing more will be until `thaw`. False: nobody answered, or the guest cannot."""
    try:
        domain.agentSetResponseTimeout(FREEZE_SECONDS)
        domain.fsFreeze()
    except libvirt.libvirtError as error:
        if "frozen" in (error.get_error_message() or ""):  # so the agent says of any command while it is
            return True
        if error.get_error_code() in SILENT | REFUSED:
            _thaw_quietly(domain)  # it may have heard, and answered too late
            return False
        raise
    return True


def thaw(domain: libvirt.virDomain) -> None:
    try:
        domain.agentSetResponseTimeout(FREEZE_SECONDS)
        domain.fsThaw()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in SILENT | REFUSED:
            raise


def _thaw_quietly(domain: libvirt.virDomain) -> None:
    try:
        domain.agentSetResponseTimeout(ANSWER_SECONDS)
        domain.fsThaw()
    except libvirt.libvirtError:
        return


def facts(domain: libvirt.virDomain) -> GuestFacts | None:
    """None: no agent answers."""
    try:
        domain.agentSetResponseTimeout(ANSWER_SECONDS)
        # 0: all that this agent knows; what it does not know is left out.
        return parse(domain.guestInfo(0, 0))
    except libvirt.libvirtError as error:
        if error.get_error_code() in SILENT | REFUSED:
            return None
        raise


def set_password(domain: libvirt.virDomain, user: str, password: str) -> None:
    try:
        domain.agentSetResponseTimeout(FREEZE_SECONDS)
        domain.setUserPassword(user, password)
    except libvirt.libvirtError as error:
        if error.get_error_code() in SILENT:
            raise Conflict("No agent answers in the guest. Is qemu-guest-agent installed and running there?") from error
        if error.get_error_code() in REFUSED:
            raise Conflict(f"The guest refused to set the password of {user}. Does that account exist there?") from error
        raise
