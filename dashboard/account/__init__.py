"""Signing in and out, and what people set about themselves. allauth does the work; the routes and the pages are ours."""
