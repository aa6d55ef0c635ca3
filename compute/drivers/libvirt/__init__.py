"""Machines on libvirt and QEMU. `LibvirtHypervisor` is the one name that others need.

xml.py         a MachineSpec as a domain's XML, built as a tree, never as text
connection.py  one connection that comes back, and libvirt's errors as meanings
hypervisor.py  the verbs of `base.Hypervisor`
events.py      changes of power, from libvirt's own event loop in a thread; survives the daemon
stats.py       counters of all machines in one call
screen.py      the screen as PNG
"""

from compute.drivers.libvirt.hypervisor import LibvirtHypervisor

__all__ = ["LibvirtHypervisor"]
