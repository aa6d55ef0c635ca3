"""OpenStack's Placement API, under /placement, to read: what the host has, who takes how much of it, and whether more would fit.

Public document: the Placement API reference of OpenStack, microversions 1.0 to 1.39.

The host is the one resource provider, under the id that Nova's hypervisors have; servers are its consumers. What it has and gives is read
from the tables at each request, so there is nothing to claim: allocations are Nova's to make, and who writes is told so (405). There are
no aggregates, no nested and no sharing providers. Capacity says what the machine is; nothing keeps a launch from going beyond it but
quotas, and allocation ratios are 1.0.
"""
