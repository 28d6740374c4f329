"""``python run.py graph=dualface input=VIDEO``: the same as the installed ``dualface`` command."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from dualface.entry import main

if __name__ == "__main__":
    sys.exit(main())
