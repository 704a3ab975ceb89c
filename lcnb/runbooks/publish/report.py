"""Write the report of a run: a self-contained HTML page with header, outputs and files, which sends no requests.

nbconvert renders the cells (`basic` template: no scripts, no fonts). This module adds title, status, parameters, the
failed cell and the files. The page works in light and dark mode, in print and on narrow screens.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

from lcnb.display.palette import DARK_REPORT_COLORS, REPORT_COLORS, TONE_COLORS, WHITE, css_variables
from lcnb.files import write_atomically
from lcnb.runbooks.ends import COMPLETED_STATUSES, DONE, RUNNING, status_tone
from lcnb.runbooks.publish.cells import render_cells
from lcnb.runbooks.publish.page_extras import SORT_SCRIPT, SORT_SCRIPT_SOURCE, contents_html
from lcnb.runbooks.publish.pictures import PictureEmbedder

CSS = Template(
    """
:root{color-scheme:light dark;$light}
@media(prefers-color-scheme:dark){:root{$dark}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
 font:15px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:36px 24px 64px}
header h1{font-size:30px;line-height:1.2;margin:0 0 6px;letter-spacing:-.015em}
header p{margin:0 0 16px;color:var(--soft);max-width:70ch}
.status{display:inline-block;padding:2px 12px;border-radius:99px;color:$white;font-weight:600;font-size:13px;
 background:var(--c);vertical-align:4px;margin-left:10px}
.facts{display:flex;flex-wrap:wrap;gap:6px 28px;margin:0 0 22px;padding:12px 0;border:solid var(--line);
 border-width:1px 0}
.facts div{min-width:0}.facts dt{font-size:12px;color:var(--soft)}.facts dd{margin:0;overflow-wrap:anywhere}
section.body+section.body{margin-top:22px}
section.body{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:10px 26px 18px}
section.body h2{font-size:19px;margin:28px 0 8px;letter-spacing:-.01em}
section.body h3{font-size:16px;margin:22px 0 6px}
section.body p{max-width:75ch}
.anchor-link,.jp-InputPrompt,.jp-OutputPrompt,.jp-Collapser{display:none}
.jp-OutputArea-output pre,.failure pre{white-space:pre-wrap;overflow-wrap:anywhere;font:12.5px/1.5 ui-monospace,
 SFMono-Regular,Menlo,Consolas,monospace;margin:6px 0}
.jp-OutputArea-output,.output_subarea{overflow-x:auto}
table.dataframe{border-collapse:collapse;border:0;font-size:13px;font-variant-numeric:tabular-nums}
table.dataframe th,table.dataframe td{border:solid var(--line);border-width:0 0 1px;padding:5px 14px 5px 2px;
 text-align:right;vertical-align:top}
img{max-width:100%;height:auto}
.failure{border:1px solid var(--bad);border-left-width:6px;border-radius:12px;padding:12px 20px;margin:0 0 22px;
 background:var(--card)}
.failure h2{margin:0 0 6px;font-size:17px;color:var(--bad)}
.notes{border:1px solid var(--warn);border-left-width:6px;border-radius:12px;padding:12px 20px;margin:0 0 22px;
 background:var(--card)}
.notes h2{margin:0 0 6px;font-size:17px;color:var(--warn)}
.notes ul,.checks ul{margin:4px 0;padding-left:20px}.notes li,.checks li{white-space:pre-wrap;overflow-wrap:anywhere}
.checks{margin:0 0 22px}.notes .checks{margin:8px 0 0}.checks summary{cursor:pointer;color:var(--soft)}
.checks ul{list-style:none;padding-left:4px}.checks b{color:var(--good)}
footer{color:var(--soft);font-size:13px;margin-top:26px}footer ul{padding-left:18px;margin:4px 0}
section.body pre{white-space:pre-wrap;overflow-wrap:anywhere}
.left-out{display:block;width:fit-content;margin:6px 0;padding:2px 10px;border-left:4px solid var(--warn);
 color:var(--soft);font-size:13.5px;overflow-wrap:anywhere;max-width:90ch}
.allowed{border-left:4px solid var(--warn);padding:2px 12px;margin:6px 0}.allowed b{overflow-wrap:anywhere}
.early{border:1px solid var(--line);border-left:6px solid var(--good);border-radius:12px;padding:10px 20px;
 margin:0 0 22px;background:var(--card)}
.widget{display:flex;flex-wrap:wrap;gap:4px 12px;align-items:center}.widget pre{margin:0}
progress{width:220px;accent-color:var(--good)}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.92em}
@media(max-width:640px){main{padding:20px 12px}section.body{padding:6px 14px 12px}header h1{font-size:24px}}
.contents ul{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;margin:0 0 22px;padding:0}
.contents a{color:inherit;text-underline-offset:3px}
th .sort{cursor:pointer}th .sort:hover{text-decoration:underline}
th .sort:focus-visible{outline:2px solid currentColor;outline-offset:2px}
th[aria-sort=ascending] .sort::after{content:" ▲"}th[aria-sort=descending] .sort::after{content:" ▼"}
@page{size:landscape;margin:12mm}
@media print{:root{color-scheme:light;$light}
 body{background:$white;font-size:12px}main{max-width:none;padding:0}section.body{border:0;padding:0}
 header h1{font-size:24px}section.body h2{font-size:16px;margin:16px 0 6px}section.body p,header p{max-width:none}
 .contents,.anchor-link{display:none}
 summary{list-style:none}footer{margin-top:10px;font-size:11px}
 footer p,footer ul,footer li{display:inline-block;margin:0 1.5em 2px 0;padding:0}
 details::details-content{content-visibility:visible;display:block;block-size:auto}
 main .jp-OutputArea-output,main .output_subarea,main .lcnb-scroll{overflow:visible}
 main .lcnb table.lcnb-table,main table.dataframe{max-width:100%;font-size:10px}main table.dataframe{font-size:9px}
 main .lcnb table.lcnb-table th,main .lcnb table.lcnb-table td,main table.dataframe th,main table.dataframe td{
 white-space:normal;min-width:0;padding:2px 10px 2px 2px;overflow-wrap:break-word}
 main .lcnb table.lcnb-table td.w,main table.dataframe th,main table.dataframe td{overflow-wrap:anywhere}
 thead{display:table-header-group}
 tr,figure,li,.lcnb-card,.lcnb-cards,.lcnb-attention,.notes,.failure>h2,footer{break-inside:avoid}
 h1,h2,h3,caption,summary,thead,tbody tr:nth-child(-n+2){break-after:avoid}
 figure.lcnb-figure svg{max-height:150mm}
}
"""
).substitute(light=css_variables(REPORT_COLORS), dark=css_variables(DARK_REPORT_COLORS), white=WHITE)


#: What a browser may load for this page: its own styles and its one script, and pictures in the page or in its folder.
CONTENT_POLICY = (
    f"default-src 'none'; style-src 'unsafe-inline'; script-src {SORT_SCRIPT_SOURCE}; img-src data: 'self' file:; "
    "base-uri 'none'; form-action 'none'"
)


def write_report(
    facts: Mapping[str, Any], notebook: Any, folder: Path, redact: Callable[[str], str] = str
) -> Path:
    """Write `report.html` into the folder of a run, and return its path. OSError when it cannot be written.

    `facts` is the record of the run, and `redact` masks secrets in the page. Pictures are read from the folder of the
    notebook and from the folder of the run.
    """
    files = sorted(path for path in folder.iterdir() if path.suffix in (".parquet", ".csv", ".log"))
    places = [Path(str(facts["notebook"])).parent, folder] if facts.get("notebook") else [folder]
    page = render_page(facts, notebook, [path.name for path in files], places)
    return write_atomically(folder / "report.html", redact(page))


def render_page(
    facts: Mapping[str, Any], notebook: Any, files: list[str], places: Sequence[Path] = ()
) -> str:
    """Return the whole page as text; `places` are the folders from which pictures may be read."""
    body = (
        render_cells(facts, notebook, PictureEmbedder(places))
        if notebook is not None
        else "<p>No cell was run.</p>"
    )
    title = escape(str(facts["title"]))
    status = str(facts["status"])
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{CONTENT_POLICY}">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title} – {escape(status)}</title><link rel="icon" href="data:,"><style>{CSS}</style></head>
<body><main>
<header><h1>{title}<span class="status" style="--c:{TONE_COLORS[status_tone(status)]}">{escape(status)}</span></h1>
<p>{escape(str(facts["purpose"]))}</p>
{_facts_html(facts)}</header>
{_failure_html(facts)}{_notes_html(facts)}
{_changes_html(facts)}{contents_html(body)}
<section class="body">{body}</section>
<footer>{_files_html(files)}{_source_html(facts)}
<p>Run <code>{escape(str(facts["id"]))}</code>, lcnb {escape(facts["versions"]["lcnb"])}</p>
</footer>
</main><script>{SORT_SCRIPT}</script></body></html>
"""


def _facts_html(facts: Mapping[str, Any]) -> str:
    started = datetime.fromisoformat(facts["started"])
    rows = {
        "Account": facts["account"] or facts["base_url"] or "none",
        "Started": f"{started:%Y-%m-%d %H:%M:%S} UTC",
        "Took": f"{facts['duration_s']:.1f} s" if facts["duration_s"] is not None else "",
        "By": f"{facts['user']} on {facts['host']}",
        "Attempts": str(len(facts.get("attempts") or ()) or ""),
    }
    rows |= {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in facts["parameters"].items()
        if value is not None
    }
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(str(value))}</dd></div>"
        for name, value in rows.items()
        if str(value)
    )
    return f'<dl class="facts">{items}</dl>'


def _failure_html(facts: Mapping[str, Any]) -> str:
    if facts["status"] in (*COMPLETED_STATUSES, RUNNING.status):
        reason = str(facts.get("reason") or "") if facts["status"] == DONE.status else ""
        text = f"{reason[:1].upper()}{reason[1:]}: the cells after it were not run."
        return f'<div class="early" role="note">{escape(text)}</div>' if reason else ""
    cell = facts["failed_cell"]
    if cell is None:
        return f'<div class="failure" role="alert"><h2>{escape(str(facts["reason"]))}</h2></div>'
    lines = str(cell["traceback"]).strip().splitlines()
    return (
        f'<div class="failure" role="alert"><h2>Cell {cell["number"]}: {escape(cell["ename"])}: '
        f"{escape(cell['evalue'])}</h2><pre>{escape(cell['source'])}</pre>{_refusal_html(facts)}"
        f"<details><summary>Traceback</summary><pre>{escape(chr(10).join(lines))}</pre></details></div>"
    )


def _refusal_html(facts: Mapping[str, Any]) -> str:
    """Return why the run was not attempted again, with the next step; empty when that was not wanted."""
    text = str(facts.get("not_retried") or "")
    return f"<p>{escape(text)}</p>" if text else ""


#: At most so many notes are shown on the page; the others are in run.json.
MAX_NOTES = 100


def _notes_html(facts: Mapping[str, Any]) -> str:
    """Return what needs attention, failed checks among it, and the checks that passed. Each text is shown once."""
    texts = [str(each["text"]) for each in facts.get("attention") or ()]
    passed = _passed_checks_html(facts)
    if not texts:
        return passed
    return (
        f'<div class="notes" role="note"><h2>{_count_text(len(texts), "thing")} need{"s" if len(texts) == 1 else ""} '
        f"attention</h2><ul>{_list_items(f'<li>{escape(text)}</li>' for text in texts)}</ul>{passed}</div>"
    )


def _passed_checks_html(facts: Mapping[str, Any]) -> str:
    """Return the checks that passed, if any, and of how many: in words and with a sign, not by colour alone."""
    checks = facts.get("checks") or []
    passed = [escape(str(each["text"])) for each in checks if each["ok"]]
    if not passed:
        return ""
    if len(passed) == len(checks):
        summary = "The check passed" if len(checks) == 1 else f"All {len(checks)} checks passed"
    else:
        summary = f"{len(passed)} of {len(checks)} checks passed"
    items = _list_items(f"<li><b>✓</b> {text}</li>" for text in passed)
    return f'<details class="checks"><summary>{summary}</summary><ul>{items}</ul></details>'


def _list_items(items: Iterable[str]) -> str:
    shown = list(items)
    more = len(shown) - MAX_NOTES
    return "".join(shown[:MAX_NOTES]) + (f"<li>and {more} more, in run.json</li>" if more > 0 else "")


def _count_text(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _changes_html(facts: Mapping[str, Any]) -> str:
    """Return what the run has changed or would change, and what that adds to the cost per month."""
    changes = facts.get("changes") or []
    if not changes:
        return ""
    from lcnb.changes.outcomes_view import monthly_difference, recorded_frame
    from lcnb.display.tables import table

    counts = Counter(each["outcome"] for each in changes)
    parts = [f"{count} {outcome}" for outcome, count in counts.items()]
    made = [each for each in changes if each["outcome"] in ("done", "twins")]
    parts += [f"{value:+,.2f} {code} per month" for code, value in monthly_difference(made).items()]
    if not made:
        planned = monthly_difference(changes).items()
        parts += [f"would be {value:+,.2f} {code} per month" for code, value in planned]
    heading = f"<h2>Changes: {escape(', '.join(parts))}</h2>"
    return f'<section class="body">{heading}{table(recorded_frame(changes))._repr_html_()}</section>'


def _files_html(files: list[str]) -> str:
    if not files:
        return ""
    items = "".join(f'<li><a href="{quote(name)}">{escape(name)}</a></li>' for name in files)
    return f"<p>Files in the folder of this page:</p><ul>{items}</ul>"


def _source_html(facts: Mapping[str, Any]) -> str:
    """Return the link to the notebook that was run, as far as this machine has it."""
    path = facts.get("notebook")
    if not path:
        return ""
    source = Path(str(path))
    link = quote(source.absolute().as_uri(), safe=":/%") if source.exists() else ""
    name = f'<a href="{link}">{escape(str(source))}</a>' if link else escape(str(source))
    return f"<p>Notebook: {name}</p>"
