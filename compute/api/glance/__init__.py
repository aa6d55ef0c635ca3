"""OpenStack's Image API v2 (Glance), under /image/v2, for unmodified clients.

Public document: "Image Service API v2" of the OpenStack API references.

What is whose: an *image* is an image of the project or of the box's catalogue. Addresses of images stand without the host
(`/v2/images/…`), as Glance writes them. What is uploaded is told from its bytes, whatever its `disk_format` says, and a disk is made of
it; the bytes themselves are kept for who downloads them, so size and digests are theirs. What came another way is exported to a bucket
instead. Import methods are glance-direct and web-download; there is one store, `box`.

A request walks: `compute.api.openstack.service` (token) → a view → one verb → `render`.
"""
