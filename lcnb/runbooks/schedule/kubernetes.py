"""A schedule as a Kubernetes CronJob."""

from __future__ import annotations

import re

from lcnb.runbooks.schedule.entry import IMAGE, UTC_CLOCK, Schedule, _clock
from lcnb.runbooks.schedule.yaml_text import _yaml
from lcnb.tokens import SINGLE_QUOTES

# --- Kubernetes -----------------------------------------------------------------------------------------


def _k8s(schedule: Schedule) -> dict[str, str]:
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
        clock = UTC_CLOCK
    make = [
        f"The token: printf %s '...' >FILE  ({SINGLE_QUOTES}),",
        f"then: kubectl create secret generic {secret['name']} --from-file=api-key=FILE",
    ]
    head = schedule.head(
        *(make if schedule.variable else []),
        *([f"The image {IMAGE} is a placeholder: name yours by --image."] if schedule.image == IMAGE else []),
        "Reports are lost with the pod: replace emptyDir by a persistentVolumeClaim.",
        clock if clock == UTC_CLOCK else _clock(schedule, clock),
    )
    return {f"{schedule.label}.yaml": head + _yaml(job)}
