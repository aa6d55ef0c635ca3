"""What `bin/cloudbox` does: set a box up, run its processes, say how it is.

Standard library only: this code runs before there is a virtual environment. One box lives in one home
(`paths.Box`); everything else is derived from it, so two boxes share a host without meeting.

    cli.py          the verbs                     supervisor.py  starts, restarts and stops processes
    plan.py         the steps of `up`, a table    control.py     talks to the supervisor
    steps.py        runs such a table             systemd.py     the same by units, where systemd is pid 1
    packages.py …   what the steps do             programs.py    how each component is run, and as whom
    status.py       components and their health   doctor.py      what on this host would stop a box
    testing.py      `bin/cloudbox test`           pin.py         `bin/cloudbox pin`
"""
