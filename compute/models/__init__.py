"""The tables of the compute manager."""

from compute.models.catalogue import Flavor, Image, Keypair
from compute.models.instances import ConsoleToken, Instance, MetricSample, UsageInterval
from compute.models.networks import Network, Port, SecurityGroup, SecurityGroupRule
from compute.models.volumes import Volume, VolumeInterval, VolumeType

__all__ = [
    "ConsoleToken",
    "Flavor",
    "Image",
    "Instance",
    "Keypair",
    "MetricSample",
    "Network",
    "Port",
    "SecurityGroup",
    "SecurityGroupRule",
    "UsageInterval",
    "Volume",
    "VolumeInterval",
    "VolumeType",
]
