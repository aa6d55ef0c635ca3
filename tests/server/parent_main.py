"""The parent of two such workers. Arguments: a folder, the port, the port of the metrics."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from storage.server.workers import Address, Workers, main_argv

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    folder = Path(sys.argv[1])
    addresses = [Address("http", "127.0.0.1", int(sys.argv[2])), Address("admin", "127.0.0.1", int(sys.argv[3]))]
    argv = main_argv("tests.server.worker_main", sys.argv[1])
    sys.exit(Workers(argv, addresses, 2, folder / "metrics", on_ready=lambda: (folder / "ready").touch()).run())
