"""``python -m dualface``: the same command."""

import sys

from dualface.entry import main

if __name__ == "__main__":
    sys.exit(main())
