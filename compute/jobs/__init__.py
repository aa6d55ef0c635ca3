"""Slow work on instances and volumes. Steps carry out with models and drivers and never call a verb."""

from cloudbox.common.jobs import registry
from compute.jobs import (
    backups,
    delete_instance,
    export_image,
    filling,
    import_image,
    instance_snapshots,
    launch_instance,
    nics,
    password,
    power,
    rebuild,
    rescue,
    resize,
    shelve,
    snapshots,
    volumes,
)


def register() -> None:
    """Make the kinds known to the house; called once, when the app is ready."""
    registry.add([launch_instance.KIND, delete_instance.KIND, *power.KINDS, *volumes.KINDS, *snapshots.KINDS, *instance_snapshots.KINDS])
    registry.add([*backups.KINDS, *filling.KINDS, import_image.KIND, export_image.KIND])
    registry.add([*resize.KINDS, *rebuild.KINDS, *rescue.KINDS, *shelve.KINDS, password.KIND, *nics.KINDS])
