"""``python -m conformance.make [FOLDER]``: write the whole kit, by default in its place."""

import sys
from pathlib import Path

from conformance.cases import KIT
from conformance.make.kit import make

if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else KIT
    make(target)
    print(f"written to {target}")
