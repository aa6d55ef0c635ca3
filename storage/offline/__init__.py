"""The object store without its server: `bin/cloudbox store check | dump | export | rebuild-index`.

What is kept must not depend on what keeps it. These read the objects back from any surviving quorum of drives: no server, no
PostgreSQL, no index, and (but for rebuild-index) not one byte written to a drive.

How: the engine's own recovery is run, as the server runs it when its index is lost, on drives laid under glass: whatever it would write
lands in a scratch file above (`overlay.py`), so that records which one drive lacks are read from another, and the drives stay as they
were. `opening.py` finds the drives and does that. While a server works on the drives their content moves, and a second recovery beside
it would see segments go that it has not read yet; then its own index is read instead, which is always right while it works.

`check.py` reads everything there is, on every drive, and says what is whole, degraded, lost or left behind; `dump.py` says what there
is; `export.py` writes it out as files; `rebuild.py` makes the server's index anew. `names.py` knows what people call the buckets: the
data plane keeps a copy of their names on every drive, with the sealed keys of encrypted objects, for this day.
"""
