"""Environment variables that `lcnb run` sets for the notebook it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

RUN_FOLDER_VARIABLE = "LCNB_RUN_DIR"
#: "yes", or the folder of a dry run whose changes are confirmed: set by `lcnb run --yes` and `lcnb apply RUN`.
CONFIRM_VARIABLE = "LCNB_RUN_CONFIRM"
#: The runs that this one goes on with: set by `lcnb resume RUN`.
RESUMES_VARIABLE = "LCNB_RUN_RESUMES"
