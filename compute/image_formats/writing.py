"""An OVA written: a description of the machine (OVF, DMTF DSP0243), a list of digests, and the disk, in one tar.

The archive is told piece by piece, so that it need not lie anywhere before it goes out.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import BinaryIO
from xml.sax.saxutils import escape, quoteattr

PIECE_BYTES = 1024**2
_BLOCK = tarfile.BLOCKSIZE
# The guest as VMware counts systems; 102 is "another, of 64 bits".
_OVF = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"\
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"\
 xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
<References><File ovf:id="file1" ovf:href="{disk}" ovf:size="{bytes}"/></References>
<DiskSection><Info>Its disk</Info><Disk ovf:diskId="disk1" ovf:fileRef="file1" ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte"\
 ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/></DiskSection>
<NetworkSection><Info>Its network</Info><Network ovf:name="network"><Description>The first one</Description></Network></NetworkSection>
<VirtualSystem ovf:id={id}><Info>A machine</Info><Name>{name}</Name>
<OperatingSystemSection ovf:id="102"><Info>Its system</Info><Description>{system}</Description></OperatingSystemSection>
<VirtualHardwareSection><Info>Its hardware</Info>
<System><vssd:ElementName>Virtual Hardware Family</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID>\
<vssd:VirtualSystemType>vmx-11</vssd:VirtualSystemType></System>
<Item><rasd:ElementName>Processors</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType>\
<rasd:VirtualQuantity>{vcpus}</rasd:VirtualQuantity></Item>
<Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ElementName>Memory</rasd:ElementName>\
<rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>{memory}</rasd:VirtualQuantity></Item>
<Item><rasd:Address>0</rasd:Address><rasd:ElementName>Disk controller</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID>\
<rasd:ResourceSubType>AHCI</rasd:ResourceSubType><rasd:ResourceType>20</rasd:ResourceType></Item>
<Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:ElementName>Disk</rasd:ElementName>\
<rasd:HostResource>ovf:/disk/disk1</rasd:HostResource><rasd:InstanceID>4</rasd:InstanceID><rasd:Parent>3</rasd:Parent>\
<rasd:ResourceType>17</rasd:ResourceType></Item>
<Item><rasd:AutomaticAllocation>true</rasd:AutomaticAllocation><rasd:Connection>network</rasd:Connection>\
<rasd:ElementName>Network card</rasd:ElementName><rasd:InstanceID>5</rasd:InstanceID><rasd:ResourceSubType>E1000</rasd:ResourceSubType>\
<rasd:ResourceType>10</rasd:ResourceType></Item>
</VirtualHardwareSection></VirtualSystem></Envelope>
"""


def ovf(*, name: str, system: str, disk: str, disk_bytes: int, capacity: int, vcpus: int, memory_mib: int) -> bytes:
    """The description; sizes in bytes, `disk` is the file's name in the archive."""
    return _OVF.format(
        id=quoteattr(name),
        name=escape(name),
        system=escape(system or "another"),
        disk=disk,
        bytes=disk_bytes,
        capacity=capacity,
        vcpus=vcpus,
        memory=memory_mib,
    ).encode()


def manifest(digests: dict[str, str]) -> bytes:
    """SHA-256 of each file, by name."""
    return "".join(f"SHA256({name})= {digest}\n" for name, digest in digests.items()).encode()


def tar(files: list[tuple[str, int, bytes | BinaryIO]]) -> Iterator[bytes]:
    """The archive of these (name, length, content), in this order. Raises ValueError when a file ends before its length."""
    for name, length, content in files:
        info = tarfile.TarInfo(name)
        info.size, info.mode = length, 0o644
        yield info.tobuf(tarfile.GNU_FORMAT)
        left = length
        while left:
            piece = content[length - left :] if isinstance(content, bytes) else content.read(min(left, PIECE_BYTES))
            if not piece:
                raise ValueError(f"{name} ended {left} bytes early")
            left -= len(piece)
            yield piece
        if length % _BLOCK:
            yield bytes(_BLOCK - length % _BLOCK)
    yield bytes(2 * _BLOCK)


def tar_bytes(files: list[tuple[str, int]]) -> int:
    """How long the archive of files of these lengths is."""
    return sum(_BLOCK + -(-length // _BLOCK) * _BLOCK for _, length in files) + 2 * _BLOCK
