"""``python -m eventlab``: the command line."""

import sys

from eventlab.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
