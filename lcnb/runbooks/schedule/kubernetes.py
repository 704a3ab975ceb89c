"""A schedule as a Kubernetes CronJob."""

from __future__ import annotations

import re

from lcnb.runbooks.schedule.entry import PLACEHOLDER_IMAGE, UTC_CLOCK_NOTE, ScheduleEntry, clock_note
from lcnb.runbooks.schedule.yaml_text import format_yaml
from lcnb.tokens import SINGLE_QUOTES_ADVICE

# --- Kubernetes -----------------------------------------------------------------------------------------


def kubernetes_files(schedule: ScheduleEntry) -> dict[str, str]:
    slug = re.sub(r"[^a-z0-9]+", "-", (schedule.account or "").lower()).strip("-")
    secret = {"name": f"letscloud-{slug}" if slug else "letscloud", "key": "api-key"}
    container = {
        "name": "lcnb",
        "image": schedule.image,
        "command": ["lcnb"],
        "args": [each.replace("$", "$$") for each in schedule.argv],
        "env": [
            *(
                [{"name": schedule.variable, "valueFrom": {"secretKeyRef": secret}}]
                if schedule.variable
                else []
            ),
            *({"name": name, "value": value.replace("$", "$$")} for name, value in schedule.env.items()),
        ],
        "volumeMounts": [{"name": "runs", "mountPath": "/runs"}],
    }
    pod = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 60,
        "containers": [container],
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
    if schedule.timezone:
        clock = "a time in the skipped hour is left out, one in the repeated hour runs twice."
    else:
        clock = UTC_CLOCK_NOTE
    make = [
        f"The token: printf %s '...' >FILE  ({SINGLE_QUOTES_ADVICE}),",
        f"then: kubectl create secret generic {secret['name']} --from-file=api-key=FILE",
    ]
    head = schedule.head(
        *(make if schedule.variable else []),
        *(
            [f"The image {PLACEHOLDER_IMAGE} is a placeholder: name yours by --image."]
            if schedule.image == PLACEHOLDER_IMAGE
            else []
        ),
        "Reports are lost with the pod: replace emptyDir by a persistentVolumeClaim.",
        clock if clock == UTC_CLOCK_NOTE else clock_note(schedule, clock),
    )
    return {f"{schedule.label}.yaml": head + format_yaml(job)}
