"""The box's network on Linux. `LinuxFabric` is the one name that others need.

linux.py      apply(): observe, compare, change; the order of things
names.py      what things are called and which addresses they have
links.py      bridges, veth pairs, gateway namespaces, as `ip -batch` text
firewall.py   security groups and anti-spoofing as one nft text
gateway.py    what a network's gateway namespace lets through
dnsmasq.py    DHCP and DNS of a network: one dnsmasq in its gateway namespace
haproxy.py    load balancers: one HAProxy each, in the gateway namespace of its network
routing.py    routers and external networks: from what there is to what there should be
router.py     a router's rules, NAT, addresses and routes, as text

In the box's namespace (`<box>`) lie all bridges and taps. Each network has a gateway namespace `<box>-<8 hex>` that holds its
gateway address and 169.254.169.254, so addresses of tenants' networks may overlap; each router has a namespace `<box>-r<8 hex>`,
with a leg to the gateway of each of its networks:

    guest -- tap -- br-<net> -- rtr<net> | lan  gateway  wan | leg<n>  router  ext | rex<router> -- ext<net> -- uplink | <box>-up -- host
"""

from compute.drivers.fabric.linux import LinuxFabric

__all__ = ["LinuxFabric"]
