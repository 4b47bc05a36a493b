"""Run the command line with ``python -m eventlab``."""

import sys

from eventlab.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
