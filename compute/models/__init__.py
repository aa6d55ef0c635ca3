"""The tables of the compute manager."""

from compute.models.backups import Backup, BackupRestore, BackupSchedule, BackupVault
from compute.models.catalogue import CatalogueEntry, ConfigDrive, Flavor, Image, ImageCopy, ImageExport, ImageMember, Keypair
from compute.models.changes import GuestReport, OfficeHours, Reversal
from compute.models.instances import ConsoleToken, Instance, MetricSample, ServerGroup, UsageInterval
from compute.models.load_balancers import Listener, LoadBalancer, Pool, PoolMember
from compute.models.networks import AddressGroup, Network, Port, SecurityGroup, SecurityGroupRule
from compute.models.routers import ExternalNetwork, FloatingIp, PortForward, Router
from compute.models.snippets import Snippet
from compute.models.volumes import InstanceSnapshot, Snapshot, Volume, VolumeInterval, VolumeTransfer, VolumeType
from compute.models.vpn import VpnGateway, VpnPeer

__all__ = [
    "AddressGroup",
    "Backup",
    "BackupRestore",
    "BackupSchedule",
    "BackupVault",
    "CatalogueEntry",
    "ConfigDrive",
    "ConsoleToken",
    "ExternalNetwork",
    "Flavor",
    "FloatingIp",
    "GuestReport",
    "Image",
    "ImageCopy",
    "ImageExport",
    "ImageMember",
    "Instance",
    "InstanceSnapshot",
    "Keypair",
    "Listener",
    "LoadBalancer",
    "MetricSample",
    "Network",
    "OfficeHours",
    "Pool",
    "PoolMember",
    "Port",
    "PortForward",
    "Reversal",
    "Router",
    "SecurityGroup",
    "SecurityGroupRule",
    "ServerGroup",
    "Snapshot",
    "Snippet",
    "UsageInterval",
    "Volume",
    "VolumeInterval",
    "VolumeTransfer",
    "VolumeType",
    "VpnGateway",
    "VpnPeer",
]
