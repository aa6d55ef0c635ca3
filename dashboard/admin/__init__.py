"""The admin console under /admin: the box as a whole.

One module per noun, each with its own `urlpatterns`; `tools` has what lists share. For support everything is visible and
every button says "Your role may look only."; for everybody else the console does not exist.
"""
