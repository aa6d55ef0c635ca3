"""OpenStack's Image API v2 (Glance), under /image/v2, for unmodified clients.

Public document: "Image Service API v2" of the OpenStack API references.

What is whose: an *image* is an image of the project or of the box's catalogue. Addresses of images stand without the host
(`/v2/images/…`), as Glance writes them. Images are made in the portal or by the box's administrator: their bodies are not taken here yet.

A request walks: `compute.api.openstack.service` (token) → a view → one verb → `render`.
"""
