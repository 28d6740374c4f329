"""``python run.py graph=dualface input=VIDEO``: the same as the installed ``dualface`` command."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

from dualface.entry import main

if __name__ == "__main__":
    sys.exit(main())
