"""What a backup is in a bucket: the format of vaults, version 1, and who reads and writes it. It needs no table of the box.

    <prefix>vault.json                          what the vault is, and its key, if it has one, wrapped by the passphrase
    <prefix><disk>/chunks/<ab>/<digest>         4 MiB of the disk each, wherever they lie on it
    <prefix><disk>/backups/<backup>.table       which chunk lies where on the disk
    <prefix><disk>/backups/<backup>.json        the manifest: written last, and with it the backup is there

`<disk>` and `<backup>` are UUIDs in lower case. A **chunk** is named by the digest of its plain bytes: SHA-256, in an encrypted vault
HMAC-SHA256 under a key of the vault, so that names tell nothing. Whatever two backups of a disk have in common is stored once, so each
backup is whole by itself: any may be deleted, and chunks that no table names any more go after its manifest. Chunks of zeros only are
not stored. The last chunk of a disk may be shorter than the others.

A **body** (chunk, table, manifest) begins with a byte: 0 as it is, 1 zlib (RFC 1950). In an encrypted vault all of that is the plain
text of AES-256-GCM: 12 bytes of nonce, the cipher text, 16 bytes of tag; the additional data is the object's name behind `<prefix>`, so
that no body can be passed off for another. The manifest of a vault without encryption is bare JSON, for people to read.

The **table** has 36 bytes for each chunk of the disk, in order: its digest (32 bytes; all zero: a hole), and how many bytes its body
takes (4, big-endian). The **manifest** names the table's SHA-256, the disk's size and whatever a restore wants to know.

The **key** of an encrypted vault is 32 random bytes. vault.json holds it under AES-256-GCM with a key of scrypt (RFC 7914; its
parameters stand beside it) from the passphrase, in UTF-8 as it was typed; the additional data is the vault's id. From it HKDF-SHA256
(RFC 5869, no salt) makes two: of "cloudbox backup digest" the key of digests, of "cloudbox backup body" that of bodies.

Why fixed chunks: a disk's blocks do not move, so cutting by content finds nothing more and costs much more. Why per disk: the work on
one disk is done one after another, so nothing that is being written can be swept away as unneeded.
"""
