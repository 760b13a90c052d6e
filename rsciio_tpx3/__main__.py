"""``python -m rsciio_tpx3`` is ``rsciio-tpx3``."""

import sys

from rsciio_tpx3.cli.main import main

sys.exit(main())
