"""Reading what lies on a disk, without the kernel: partition tables, ext2, ext3, ext4, FAT. Read-only, and pure Python over `Source`.

The bytes are a tenant's and may be made to harm. So nothing here is ever mounted, each structure is checked before it is believed, and
all that is read comes through a `Source`, which counts reads, bytes and seconds: whatever a disk says of itself, a look at it ends, with
a sentence if need be. A reader of one's own and not a library, since those that know these formats either trust what they read (a loop in
a table of blocks hangs them) or come under licences that would bind the whole of Cloudbox; and not libguestfs, since that starts a machine
for each look: ten seconds of a core, where this takes milliseconds.

The formats: "ext4 Data Structures and Algorithms" (the Linux kernel's documentation), "FAT: General Overview of On-Disk Format"
(Microsoft, 1.03), "UEFI Specification" 2.10, section 5 (GPT and the protective MBR).
"""
