"""OpenStack's Networking API v2.0 (Neutron), under /network/v2.0, for unmodified clients.

Public document: "Networking API v2.0" of the OpenStack API references, with its extensions.

What is whose: a *network* is a network with one IPv4 range of addresses and one of IPv6, its *subnets*; a network made here has none until
they are made for it, and takes one of each family. An IPv6 subnet's two modes are one here: the box advertises what it gives out, so that
either of them says both, and neither means DHCPv6. Who is on a network without an IPv4 subnet reaches no metadata. `admin_state_up` is
kept by the packets: down, nothing passes.
Ports may wait on a network without a subnet; they get their address when it has one.

A *router* joins networks: its *interfaces* are ports here that no table has, with the gateway's address and ids made
from the network's. External networks are networks with `router:external`, and have one subnet each. Extensions are listed when what they
say is true of the packets; what is not (a network without its guests' DHCP, addresses without a pool, other ranges on one network,
interfaces at other addresses than the gateway's) is refused by name.

A request walks: `compute.api.openstack.service` (token) → a view → `cloudbox.common.fields` → one verb → `render`. Lists are rendered and
then filtered by any key, sorted and cut (`lists`), as Neutron's filters are by what it shows.
"""
