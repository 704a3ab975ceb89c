"""What notifications say: the message about one run, about a batch, and the digest of several runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lcnb.runbooks.ends import ATTENTION, COMPLETED_STATUSES, DONE, status_tone

if TYPE_CHECKING:
    from lcnb.runbooks.records.run_record import RunRecord

#: Rows or runs that one message describes; the others are counted.
MAX_DESCRIBED = 20
#: Characters of a reason: a traceback belongs into the report.
MAX_REASON_CHARACTERS = 200


class Message(NamedTuple):
    """A message about what has ended: its subject, title, text, status and the files that belong to it."""

    subject: str
    title: str
    text: str
    status: str
    files: tuple[Path, ...] = ()


def run_message(facts: Mapping[str, Any], path: Path | None) -> Message:
    """Return the message about one end: how it ended, what needs attention, its changes, what to look at.

    Args:
        facts: `runbook`, `status`, `reason` and `host`; `attention` and `changes` if there are any. The record of a run
            has all of them.
        path: the report, or another file or folder to look at; None for a message without a path.

    >>> facts = {"runbook": "night", "status": "partly", "reason": "2 of 3 rows are done", "host": "here"}
    >>> run_message(facts, Path("/runs/night-1"))[1:3]
    ('night: partly', '2 of 3 rows are done\\n/runs/night-1 on here')
    """
    lines = [str(facts["reason"])] if facts["reason"] and facts["status"] != ATTENTION.status else []
    lines += [f"! {each['text']}" for each in facts.get("attention") or ()]
    lines += [f"{each['outcome']}: {each['action']} {each['target']}" for each in facts.get("changes") or ()]
    lines += [f"{path} on {facts['host']}"] if path else []
    files = (path,) if path and path.is_file() else ()
    title = f"{facts['runbook']}: {facts['status']}"
    return Message(f"the end of {facts['runbook']}", title, "\n".join(lines), str(facts["status"]), files)


def batch_message(runbook: str, rows: Sequence[Mapping[str, Any]], folder: Path, host: str) -> Message:
    """Return one message about all rows of a batch: the number of each status, and the rows that need a look.

    `rows`: `row`, `status` and `error` of each row, and `values`, which names what the row is about.
    """
    counted = Counter(str(each["status"]) for each in rows)
    noted = [each for each in rows if each["status"] != DONE.status]
    lines = [_count_statuses(counted)]
    lines += [
        f"row {each['row']}{_in_brackets(each['values'])}: {each['status']}{_short_reason(each['error'])}"
        for each in noted[:MAX_DESCRIBED]
    ]
    lines += _others_line(len(noted), "rows")
    lines.append(f"{folder} on {host}")
    results = folder / "results.csv"
    files = (results,) if results.is_file() else ()
    title = f"{runbook}, batch of {len(rows)}: {_summarize(counted)}"
    return Message(
        f"the end of the batch of {runbook}", title, "\n".join(lines), _worst_status(counted), files
    )


def digest_message(runs: Iterable[RunRecord], since: str, host: str) -> Message:
    """Return one message about several runs, those that are not done first; `since` names the time, for the title.

    The reports of the described runs that are not done belong to it.
    """
    found = list(runs)
    counted = Counter(run.status for run in found)
    noted = sorted(
        (run for run in found if run.status != DONE.status), key=lambda run: run.status in COMPLETED_STATUSES
    )
    lines = [
        _count_statuses(counted) if found else "no run",
        *(_describe_run(run) for run in noted[:MAX_DESCRIBED]),
        *_others_line(len(noted), "runs"),
        *_done_line(run for run in found if run.status == DONE.status),
        f"on {host}",
    ]
    reports = [run.folder / "report.html" for run in noted[:MAX_DESCRIBED]]
    files = tuple(path for path in reports if path.is_file())
    status = _worst_status(counted) if found else ATTENTION.status
    return Message("the digest", f"lcnb: {_digest_title(counted, since)}", "\n".join(lines), status, files)


def _digest_title(counted: Counter[str], since: str) -> str:
    """Return how many runs there were and what needs a look, such as `3 runs since 06:00: 1 failed`."""
    total = counted.total()
    if not total:
        return f"no run since {since}"
    return f"{total} run{'s' if total > 1 else ''} since {since}: {_summarize(counted)}"


def _done_line(runs: Iterable[RunRecord]) -> list[str]:
    """Return how often each runbook was done, in a line; no line for no run."""
    done = Counter(str(run.facts.get("runbook")) for run in runs)
    return [f"done: {', '.join(f'{name} ({count})' for name, count in sorted(done.items()))}"] if done else []


def _describe_run(run: RunRecord) -> str:
    started = f" at {run.started:%Y-%m-%d %H:%M} UTC" if run.started else ""
    attention = [
        str(each.get("text")) for each in run.typed_fact("attention", list) or () if isinstance(each, dict)
    ]
    reason = "; ".join(attention) if run.status == ATTENTION.status else run.typed_fact("reason", str)
    return f"{run.facts.get('runbook') or run.id}{started}: {run.status}{_short_reason(reason)}"


def _worst_status(counted: Mapping[str, int]) -> str:
    """Return the status that says most about several: the first that did not complete, else attention, else done."""
    unfinished = [status for status in counted if status not in COMPLETED_STATUSES]
    unfinished.sort(key=lambda status: (status_tone(status) != "bad", status))
    if unfinished:
        return unfinished[0]
    return ATTENTION.status if counted.get(ATTENTION.status) else DONE.status


def _summarize(counted: Counter[str]) -> str:
    """Return what needs a look, such as `2 failed, 1 attention`; `all done` when nothing does."""
    others = Counter({status: count for status, count in counted.items() if status != DONE.status})
    return _count_statuses(others) if others else "all done"


def _count_statuses(counted: Counter[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in counted.most_common())


def _others_line(count: int, noun: str) -> list[str]:
    return [f"and {count - MAX_DESCRIBED} more {noun}"] if count > MAX_DESCRIBED else []


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _short_reason(reason: object) -> str:
    """Return the first line of a reason, after a colon."""
    first = str(reason or "").strip().partition("\n")[0]
    return f": {first[:MAX_REASON_CHARACTERS]}" if first else ""
