"""What OpenStack's dialects share, and no more: tokens to callers, microversions, statuses of errors, pages, times, links.

A request walks: `service` (token, microversion, request id) → a view of the dialect → `cloudbox.common.fields` → one verb → the dialect's
`render` or `errors`. Public documents: "API Guides" and the API reference of each service, and the API Special Interest Group's guidelines
on microversions, pagination and request ids.
"""
