"""What a router namespace lets through, and its NAT: static per network, so loaded once when the network is made."""

from __future__ import annotations

from compute.drivers.fabric.names import LAN, METADATA_IP, WAN
from compute.drivers.specs import NetworkSpec


def ruleset(network: NetworkSpec) -> str:
    """Guests reach the gateway's DHCP, DNS, ping and the metadata address, and the outside if the network has NAT. From the outside
    nothing comes in but answers."""
    forward = (
        f'    iifname "{LAN}" oifname "{WAN}" ip saddr {network.cidr} accept\n'
        f'    iifname "{WAN}" oifname "{LAN}" ct state established,related accept\n'
        if network.nat
        else ""
    )
    nat = f'  chain leave {{\n    type nat hook postrouting priority srcnat\n    oifname "{WAN}" masquerade\n  }}\n' if network.nat else ""
    return f"""flush ruleset
table ip router {{
  chain input {{
    type filter hook input priority filter
    policy drop
    iifname "lo" accept
    ct state established,related accept
    iifname "{LAN}" udp dport {{ 53, 67 }} accept
    iifname "{LAN}" tcp dport 53 accept
    iifname "{LAN}" ip daddr {METADATA_IP} tcp dport 80 accept
    iifname "{LAN}" icmp type echo-request accept
  }}
  chain forward {{
    type filter hook forward priority filter
    policy drop
{forward}  }}
{nat}}}
"""
