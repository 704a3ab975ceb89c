"""Write a schedule as a Kubernetes CronJob."""

from __future__ import annotations

import re
from typing import Any

from lcnb.runbooks.schedule.entry import PLACEHOLDER_IMAGE, UTC_CLOCK_NOTE, ScheduleEntry, ScheduleSystem
from lcnb.runbooks.schedule.yaml_text import format_yaml
from lcnb.tokens import SINGLE_QUOTES_ADVICE


def kubernetes_files(schedule: ScheduleEntry) -> dict[str, str]:
    """Return one manifest: a CronJob that runs one job at a time and never repeats a failed one."""
    slug = re.sub(r"[^a-z0-9]+", "-", (schedule.account or "").lower()).strip("-")
    secret = {"name": f"letscloud-{slug}" if slug else "letscloud", "key": "api-key"}
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 60,
        "containers": [_container(schedule, secret)],
        "volumes": [{"name": "runs", "emptyDir": {}}],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": schedule.label},
        "spec": {
            "schedule": str(schedule.cron),
            "timeZone": schedule.timezone or "Etc/UTC",
            "concurrencyPolicy": "Forbid",
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": {"spec": pod}}},
        },
    }
    lines = []
    if schedule.token_variable:
        lines += [
            f"Store the token: printf %s '...' >FILE  ({SINGLE_QUOTES_ADVICE}),",
            f"then: kubectl create secret generic {secret['name']} --from-file=api-key=FILE",
        ]
    if schedule.image == PLACEHOLDER_IMAGE:
        lines.append(f"The image {PLACEHOLDER_IMAGE} is a placeholder: name yours with --image.")
    lines.append("Reports are lost with the pod: replace emptyDir with a persistentVolumeClaim.")
    clock = "a run in the skipped hour does not happen; a run in the repeated hour starts twice."
    lines.append(schedule.clock_note(clock) if schedule.timezone else UTC_CLOCK_NOTE)
    return {f"{schedule.label}.yaml": schedule.header(*lines) + format_yaml(job)}


def _container(schedule: ScheduleEntry, secret: dict[str, str]) -> dict[str, Any]:
    """Return the container of the pod. Kubernetes reads `$$` as one dollar sign."""
    token = (
        [{"name": schedule.token_variable, "valueFrom": {"secretKeyRef": secret}}]
        if schedule.token_variable
        else []
    )
    others = [{"name": name, "value": value.replace("$", "$$")} for name, value in schedule.env.items()]
    return {
        "name": "lcnb",
        "image": schedule.image,
        "command": ["lcnb"],
        "args": [each.replace("$", "$$") for each in schedule.argv],
        "env": [*token, *others],
        "volumeMounts": [{"name": "runs", "mountPath": "/runs"}],
    }


SYSTEM = ScheduleSystem(
    "k8s",
    kubernetes_files,
    files="container",
    runs_dir="/runs",
    env={"LCNB_STATE_DIR": "/runs/.state"},  # the journal is stored where the runs are stored
    unreachable="no pod can reach it",
)
