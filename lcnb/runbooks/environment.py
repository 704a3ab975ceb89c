"""What a notebook finds around it: the variables that `lcnb run` sets, and whether a kernel runs it."""

from __future__ import annotations

import sys

#: The folder of the run.
RUN_FOLDER_VARIABLE = "LCNB_RUN_DIR"
#: "yes", or the folder of a dry run whose changes are confirmed: set by `lcnb run --yes` and `lcnb apply RUN`.
CONFIRM_VARIABLE = "LCNB_RUN_CONFIRM"
#: The ids of the runs that this run resumes: set by `lcnb resume RUN`.
RESUMES_VARIABLE = "LCNB_RUN_RESUMES"


def is_in_kernel() -> bool:
    """Whether this code runs in a Jupyter kernel, so that a page can show more than text.

    >>> is_in_kernel()
    False
    """
    ipython = sys.modules.get("IPython")
    return getattr(ipython.get_ipython() if ipython else None, "kernel", None) is not None
