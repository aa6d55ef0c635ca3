"""Cloudbox's own REST dialect, under /api/v1/: everything the portal can do, as JSON over HTTP.

A request walks: `authentication` (token or browser session) → `base.ApiView` (context, throttle) → `parsing` (strict JSON) → an
`Input` of the view's module (shape only) → one verb → `render` (what a thing looks like) or `errors` (RFC 9457 problems).
`idempotency` makes creates safe to repeat, `pages` walks lists by key, `openapi` and `reference` tell the world about it all.
"""
