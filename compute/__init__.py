"""The compute manager: instances, and what they are made of and connected by.

The root modules are verbs, one module a noun. `lifecycle` holds the instance's state machine, `desired` reads from the
tables what the machine should look like, `jobs/` carries out, `reconcilers` close what gaps a crash left, `host` names
this host's drivers, `agent/` is the long-running half of the worker (events, consoles, metadata, samples).
"""
