"""The dialects in which compute is spoken: OpenStack's Nova, Glance, Neutron, Cinder and Placement. Each parses, calls a verb, renders."""
