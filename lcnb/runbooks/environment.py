"""The variables that `lcnb run` sets for a notebook."""

from __future__ import annotations

#: The folder of the run.
RUN_FOLDER_VARIABLE = "LCNB_RUN_DIR"
#: "yes", or the folder of a dry run whose changes are confirmed: set by `lcnb run --yes` and `lcnb apply RUN`.
CONFIRM_VARIABLE = "LCNB_RUN_CONFIRM"
#: The ids of the runs that this run resumes: set by `lcnb resume RUN`.
RESUMES_VARIABLE = "LCNB_RUN_RESUMES"
#: The name of the schedule that started `lcnb run`: set by the units and lines of `lcnb schedule install`.
SCHEDULE_VARIABLE = "LCNB_SCHEDULE"
