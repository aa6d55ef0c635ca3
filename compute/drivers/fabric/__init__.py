"""The box's network on Linux. `LinuxFabric` is the one name that others need.

linux.py      apply(): observe, compare, change; the order of things
names.py      what things are called and which addresses they have
links.py      bridges, veth pairs, router namespaces, as `ip -batch` text
firewall.py   security groups and anti-spoofing as one nft text
router.py     a router namespace's own firewall and NAT
dnsmasq.py    DHCP and DNS of a network: one dnsmasq in its router namespace

In the box's namespace (`<box>`) lie all bridges and taps. Each network has a router namespace `<box>-<8 hex>` that holds its
gateway address and 169.254.169.254; so addresses of tenants' networks may overlap:

    guest -- tap -- br-<net> -- rtr<net> | lan  router  wan | trn<net> -- box namespace -- uplink | <box>-up -- host
"""

from compute.drivers.fabric.linux import LinuxFabric

__all__ = ["LinuxFabric"]
