import sys

from lcnb.sandbox import main

sys.exit(main())
