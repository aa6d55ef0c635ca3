"""The tables of the compute manager."""

from compute.models.catalogue import Flavor, Image, Keypair
from compute.models.changes import GuestReport, OfficeHours, Reversal
from compute.models.instances import ConsoleToken, Instance, MetricSample, ServerGroup, UsageInterval
from compute.models.networks import Network, Port, SecurityGroup, SecurityGroupRule
from compute.models.volumes import Volume, VolumeInterval, VolumeType

__all__ = [
    "ConsoleToken",
    "Flavor",
    "GuestReport",
    "Image",
    "Instance",
    "Keypair",
    "MetricSample",
    "Network",
    "OfficeHours",
    "Port",
    "Reversal",
    "SecurityGroup",
    "SecurityGroupRule",
    "ServerGroup",
    "UsageInterval",
    "Volume",
    "VolumeInterval",
    "VolumeType",
]
