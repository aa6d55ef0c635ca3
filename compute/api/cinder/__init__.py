"""OpenStack's Block Storage API v3 (Cinder), under /volume/v3, microversions 3.0 to 3.70, for unmodified clients.

Public documents: the Block Storage API reference, and "REST API Version History" of Cinder.

What is whose: a *volume* is a volume, a *snapshot* a snapshot of one, a *type* a quality of volumes. A volume hangs on one server at most,
so an *attachment* has the id of its volume. A type's limits are its extra specs and, read-only, its QoS specs. A *backup* lies in a
backup vault of the project: the `container` is the vault's name or bucket, by default the oldest. A *message* tells of a volume that
went wrong. Names need not be unique here, so what is made here shares its name with whoever takes it too; what is made without one is
given one. There is one availability zone, `nova`.

Addresses carry the project's id, since 3.67 also none. Conflicts of state are 400, as Cinder has them.
A request walks: `compute.api.openstack.service` (token, microversion) → a view → `cloudbox.common.fields` → one verb → `render`.
"""
