"""Entry of `python3 -m cloudbox.box`, which is what `bin/cloudbox` runs."""

import sys

from cloudbox.box.cli import main

sys.exit(main(sys.argv[1:]))
