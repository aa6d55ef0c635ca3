"""What people see: the tenant portal, the admin console, and the native REST API.

`portal/` and `admin/` have one view module a noun; `shell` makes a view out of a function of the Context; `words` and the template
tags turn states and numbers into glyphs and sentences; `live` renders fragments for `consumers.LiveConsumer`.
"""
