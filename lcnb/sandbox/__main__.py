"""`python -m lcnb.sandbox`."""

import sys

from lcnb.sandbox.command import main

sys.exit(main())
