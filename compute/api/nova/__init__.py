"""OpenStack's Compute API v2.1 (Nova), under /compute/v2.1, microversions 2.1 to 2.96, for unmodified clients.

Public documents: the Compute API reference, "REST API Version History", and the fault names of its "Faults" guide.

What is whose: a *server* is an instance, a *flavor* a size, an *image* an image, a *keypair* a key pair of the project. A server's
metadata are pairs that its guest may read; its tags are the portal's, `key:value` or `key`. Names need not be unique here, so what is
made here shares its name with whoever takes it too. There is one availability zone, `nova`, and one host.

A request walks: `compute.api.openstack.service` (token, microversion) → a view → `cloudbox.common.fields` → one verb → `render`.
What the box does not do is refused by name: personality files, ephemeral and swap disks, volumes of several at launch, evacuation.
"""
