"""Who may do what: users, domains, projects, roles, credentials, quotas.

`context.Context` is who asks; `policy` is the one table of action and least role; the noun modules hold the verbs.
"""
