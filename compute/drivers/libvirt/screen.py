"""A machine's screen as PNG. With a QEMU of 7.1 or later libvirt streams one; before, a PPM, which no browser shows."""

from __future__ import annotations

import libvirt

from compute.drivers import png

# A machine has 16 MiB of video memory, four bytes a pixel; a picture has three, or is compressed. More would come from a QEMU that
# somebody has taken over.
SCREEN_BYTES_MAX = 16 * 1024 * 1024


def screenshot(connection: libvirt.virConnect, domain: libvirt.virDomain) -> bytes:
    stream = connection.newStream()
    domain.screenshot(stream, 0)
    body = bytearray()
    while True:
        chunk = stream.recv(256 * 1024)
        if not chunk:
            break
        body += chunk
        if len(body) > SCREEN_BYTES_MAX:
            stream.abort()
            raise ValueError("The picture of the screen is too large.")
    stream.finish()
    return bytes(body) if body.startswith(png.MAGIC) else png.from_ppm(bytes(body))
