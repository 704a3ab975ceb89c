"""The style of the forms. It uses the colours of JupyterLab's themes, and so follows light and dark."""

from __future__ import annotations

from string import Template

from lcnb.display.palette import (
    BLACK,
    BLUE,
    DARK_AMBER,
    DARK_BLUE,
    DARK_GREEN,
    DARK_RED,
    FORM_COLORS,
    LIGHT_BLUE,
    LIGHT_GREEN,
    LIGHT_RED,
    NEUTRAL_COLOR,
    WHITE,
    translucent,
)

STYLE = Template(
    """
<style>
.lcnb-admin{--lc-line:$line;--lc-ink:var(--jp-ui-font-color1,$ink);
 --lc-accent:$accent;--lc-bad:$bad;--lc-ok:$good;--lc-warning:$warning;
 font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
 color:var(--lc-ink);max-width:1840px;overflow:visible;padding:2px 6px 24px}
[data-jp-theme-light="false"] .lcnb-admin{color-scheme:dark;
 --lc-accent:$light_accent;--lc-bad:$light_bad;--lc-ok:$light_good}
.lcnb-admin .widget-vbox,.lcnb-admin .widget-hbox{overflow:visible}
.lcnb-admin .widget-html,.lcnb-admin .widget-html-content{min-width:0;max-width:100%}
.lcnb-admin .widget-hbox{flex-wrap:wrap}
.lcnb-admin .widget-html-content{flex:1 1 auto;font:inherit;color:inherit;line-height:1.5}
.lcnb-head{display:flex;gap:12px;align-items:baseline;padding:4px 0 10px}
.lcnb-head{flex-wrap:wrap}.lcnb-head b{font-size:15px}
.lcnb-head span{opacity:.8;font-size:13px}
.lcnb-head .lcnb-sandbox{opacity:1;background:$warning;color:$white;font-weight:700;border-radius:99px;padding:2px 14px}
.lcnb-desk .lcnb-form{border:1px solid var(--lc-line);border-radius:12px;padding:2px 14px 10px;margin:4px 0 8px}
.lcnb-form-facts .lcnb-asking{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(370px,100%),1fr));
 column-gap:20px;max-width:1340px}
.lcnb-form-facts .lcnb-begin,.lcnb-form-facts .lcnb-answer-rows{grid-column:1/-1}
.lcnb-admin .lcnb-cards{gap:8px;margin:0 0 6px}.lcnb-admin .lcnb-card{padding:6px 14px}
.lcnb-admin .lcnb-card b{font-size:20px;line-height:1.3}
.lcnb-nav{border-bottom:1px solid var(--lc-line);padding:0 0 8px;margin:6px 0 12px}
.lcnb-admin .jupyter-button{height:34px;line-height:32px;border-radius:8px;padding:0 14px;font-size:13.5px;
 border:1px solid var(--lc-line);background:var(--jp-layout-color2,$button);color:var(--lc-ink);box-shadow:none}
.lcnb-admin .jupyter-button:focus-visible,.lcnb-admin input:focus-visible,.lcnb-admin select:focus-visible,
.lcnb-admin textarea:focus-visible,.lcnb-grid-scroll:focus-visible,.lcnb-admin summary:focus-visible{
 outline:3px solid var(--lc-accent)!important;outline-offset:1px}
.lcnb-admin .jupyter-button.lcnb-here{background:var(--lc-accent);border-color:var(--lc-accent);
 color:var(--jp-layout-color0,$white);font-weight:600}
.lcnb-admin .jupyter-button.mod-primary{background:$accent;color:$white;border-color:$accent;font-weight:600}
.lcnb-admin .jupyter-button.mod-danger{background:$bad;color:$white;border-color:$bad;font-weight:600}
.lcnb-admin .jupyter-button:disabled{opacity:.55;cursor:not-allowed}
.lcnb-begin{gap:8px;margin:4px 0 0 140px}
.lcnb-form{padding:2px 0 6px}
.lcnb-title{font-size:17px;font-weight:650;margin:10px 0 8px}
.lcnb-admin .lcnb-answer{overflow:visible;margin:0 0 2px;width:100%;max-width:640px}
.lcnb-admin .lcnb-row input:not([type=checkbox]),.lcnb-admin .lcnb-row select,.lcnb-admin .lcnb-row textarea,
.lcnb-grid-bar input,.lcnb-grid-bar select{border:1px solid var(--lc-line);border-radius:8px;min-height:34px;
 padding:4px 10px;font-size:14px;background:var(--jp-layout-color1,$field);color:var(--lc-ink);box-sizing:border-box}
.lcnb-admin select option{background:var(--jp-layout-color1,$field);color:var(--lc-ink)}
.lcnb-row{display:flex;align-items:center;gap:8px;margin:2px}
.lcnb-row[hidden]{display:none}
.lcnb-shown{flex-wrap:wrap}
.lcnb-row label{width:132px;flex:none;font-size:13.5px}
.lcnb-row input:not([type=checkbox]),.lcnb-row select,.lcnb-row textarea{flex:1;min-width:0}
.lcnb-row output{font-weight:600;padding:4px 0}
.lcnb-answer-area .lcnb-row{align-items:start}
.lcnb-answer-flag .lcnb-row{padding-left:140px}.lcnb-answer-flag .lcnb-row label{width:auto}
.lcnb-hint{margin:0 0 4px 142px;min-height:20px;font-size:12.5px;line-height:1.4}
.lcnb-answer-rows .lcnb-hint:empty,.lcnb-panel .lcnb-hint:empty{min-height:0}
.lcnb-help{opacity:.8}
.lcnb-bad{color:var(--lc-bad);font-weight:600}
.lcnb-shown output{font:600 15px/1.4 ui-monospace,Menlo,Consolas,monospace;padding:4px 10px;user-select:all;
 border:1px dashed var(--lc-line);border-radius:8px}
.lcnb-status>div{border-radius:8px;padding:8px 14px;margin:6px 0;border:1px solid var(--lc-line);max-width:900px;
 overflow-wrap:anywhere;border-left-width:5px}
.lcnb-status>.lcnb-alert{border-left-color:var(--lc-bad)}
.lcnb-status>.lcnb-done{border-left-color:var(--lc-ok)}
.lcnb-status>.lcnb-info{border-left-color:var(--lc-accent)}
.lcnb-admin .lcnb-panel{border:1px solid var(--lc-line);border-radius:12px;padding:10px 16px 14px;margin:8px 0;
 max-width:960px}
.lcnb-admin .lcnb-panel .jupyter-button{scroll-margin:260px 0 24px}
.lcnb-danger{color:var(--lc-bad);margin:4px 0}
.lcnb-danger b{font-family:ui-monospace,Menlo,Consolas,monospace}
.lcnb-progress{display:flex;gap:12px;align-items:center;padding:8px 0}
.lcnb-progress progress{width:140px;accent-color:var(--lc-accent)}
.lcnb-journal{opacity:.85;font-size:12.5px;margin:2px 0 10px}
.lcnb-intro{margin:0 0 10px;max-width:75ch;opacity:.9}
.lcnb-ended b{color:$white;border-radius:99px;padding:2px 12px;margin-right:8px;font-size:13px}
.lcnb-admin pre.lcnb-error{white-space:pre-wrap;overflow-wrap:anywhere;
 font:12.5px/1.5 ui-monospace,Menlo,Consolas,monospace;
 border:1px solid var(--lc-bad);border-left-width:5px;border-radius:8px;padding:8px 14px;color:inherit;background:none}
.lcnb-report summary{cursor:pointer;padding:4px 0}
.lcnb-report iframe{width:100%;height:640px;border:1px solid var(--lc-line);border-radius:10px;background:transparent}
.lcnb-grid-bar{display:flex;gap:8px 10px;align-items:center;padding:4px 0 8px;flex-wrap:wrap}
.lcnb-grid-bar input{width:220px;max-width:100%}.lcnb-grid-bar select{max-width:160px}
.lcnb-grid-menus{display:contents}
.lcnb-grid-counts{display:flex;flex-wrap:wrap;gap:0 18px;flex:1 0 100%;font-size:12.5px;opacity:.85;min-height:19px}
.lcnb-tools{align-items:center;min-height:46px}.lcnb-tools .lcnb-status>div{margin:0;padding:5px 14px}
.lcnb-admin .lcnb-grid button.lcnb-plain{border:0;background:none;text-decoration:underline;padding:0 4px;
 color:var(--lc-accent)}
.lcnb-bar{border:1px solid var(--lc-line);border-radius:10px;padding:6px 12px;margin:0 0 8px;position:relative;
 min-height:76px;box-sizing:border-box}
.lcnb-bar-on{border-color:var(--lc-accent);background:$pointed_row}
.lcnb-bar-buttons{display:flex;flex-wrap:wrap;gap:6px;visibility:hidden}
.lcnb-bar-on .lcnb-bar-buttons{visibility:visible}
.lcnb-admin .lcnb-bar-buttons button{flex:none;height:32px;border-radius:8px;padding:0 12px;font:inherit;
 font-size:13.5px;border:1px solid var(--lc-line);background:var(--jp-layout-color1,$field);color:var(--lc-ink);
 cursor:pointer}
.lcnb-admin .lcnb-bar-buttons button.lcnb-danger-button{color:var(--lc-bad);border-color:var(--lc-bad)}
.lcnb-admin .lcnb-bar-buttons button:disabled{opacity:.5;cursor:not-allowed}
.lcnb-admin .lcnb-grid button:focus-visible{outline:3px solid var(--lc-accent);outline-offset:1px}
.lcnb-bar-text{font-size:13px;min-height:22px;margin-top:6px}
.lcnb-bar-text p{margin:0;display:inline}.lcnb-bar-text [hidden]{display:none}
.lcnb-bar:not(.lcnb-bar-on) .lcnb-bar-text{position:absolute;inset:0 12px;margin:0;display:flex;align-items:center;
 opacity:.85}
.lcnb-warn{font-weight:600}
.lcnb-grid-scroll{overflow:auto;overflow-anchor:none;contain:content;max-height:max(320px,60vh);
 border:1px solid var(--lc-line);border-radius:10px}
.lcnb-grid table{border-collapse:separate;border-spacing:0;width:100%;font-size:13px;
 font-variant-numeric:tabular-nums;color:var(--lc-ink)}
.lcnb-grid thead th{position:sticky;top:0;background:var(--jp-layout-color2,$button);z-index:2;padding:0;
 text-align:left;border-bottom:1px solid var(--lc-line)}
.lcnb-grid thead th.tick{padding:0 0 0 10px}
.lcnb-grid thead button{all:unset;cursor:pointer;font-weight:600;padding:7px 10px;white-space:nowrap;display:block}
.lcnb-admin .lcnb-grid thead button:focus-visible{outline-offset:-3px}
.lcnb-grid thead th[aria-sort=ascending] button::after{content:" ▲" / "";font-size:10px}
.lcnb-grid thead th[aria-sort=descending] button::after{content:" ▼" / "";font-size:10px}
.lcnb-grid th.n button{margin-left:auto}.lcnb-grid td.n{text-align:right}
.lcnb-grid tbody th,.lcnb-grid tbody td{padding:0 10px;height:29px;border-bottom:1px solid $row_line;
 white-space:nowrap;text-align:left;font-weight:400;max-width:340px;overflow:hidden;text-overflow:ellipsis}
.lcnb-grid tbody th{font-weight:600;max-width:min(340px,52vw);position:sticky;left:0;z-index:1;
 background:var(--jp-layout-color1,$field)}
.lcnb-grid thead th:nth-child(1 of :not(.tick)){left:0;z-index:3}
.lcnb-grid tbody td.tick{width:18px;padding-right:0}
.lcnb-grid tbody tr:hover>*{background-image:linear-gradient($pointed_row,$pointed_row);cursor:default}
.lcnb-grid tbody tr.picked>*{background-image:linear-gradient($picked_row,$picked_row)}
.lcnb-grid .none{opacity:.7}
.lcnb-grid i{display:inline-block;width:9px;height:9px;border-radius:50%;margin-right:7px}
.lcnb-grid input[type=checkbox]{width:16px;height:16px;margin:0;vertical-align:middle;accent-color:$accent}
.lcnb-tag{display:inline-block;border:1px solid var(--lc-line);border-radius:99px;padding:0 8px;margin-right:4px;
 font-size:12px;line-height:19px;max-width:220px;overflow:hidden;text-overflow:ellipsis;vertical-align:middle}
.lcnb-shield{display:inline-flex;align-items:center;gap:3px;margin-left:8px;font-size:11.5px;font-weight:600;
 border:1px solid var(--lc-ok);border-radius:99px;padding:0 7px 0 5px;line-height:18px;vertical-align:middle}
.lcnb-shield svg{width:12px;height:12px;fill:var(--lc-ok)}
.lcnb-grid .lcnb-open{all:unset;cursor:pointer;font-weight:600}
.lcnb-grid tr:hover .lcnb-open{text-decoration:underline}
.lcnb-opens tbody tr:hover>*{cursor:pointer}
.lcnb-grid .lcnb-details{position:fixed;inset:0 0 0 auto;width:min(680px,100vw);max-width:none;height:100dvh;
 max-height:none;
 margin:0;
 padding:0;border:0;border-left:1px solid var(--lc-line);box-sizing:border-box;
 background:var(--jp-layout-color1,$field);
 color:var(--lc-ink);font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.lcnb-grid .lcnb-details.lcnb-wide{width:min(1180px,100vw)}
.lcnb-grid .lcnb-details[open]{display:flex;flex-direction:column}
.lcnb-grid .lcnb-details::backdrop{background:$shade}
.lcnb-details-head{display:flex;flex-wrap:wrap;gap:8px;align-items:center;padding:14px 20px 12px;
 border-bottom:1px solid var(--lc-line)}
.lcnb-details-head h2{margin:0 auto 0 0;font-size:20px;line-height:1.3;overflow-wrap:anywhere;outline:none}
.lcnb-grid .lcnb-details button{height:32px;border-radius:8px;padding:0 12px;font:inherit;font-size:13.5px;
 cursor:pointer;
 border:1px solid var(--lc-line);background:var(--jp-layout-color2,$button);color:var(--lc-ink)}
.lcnb-grid .lcnb-details :focus-visible{outline:3px solid var(--lc-accent);outline-offset:1px}
.lcnb-details-body{overflow:auto;padding:4px 20px 28px;flex:1}
.lcnb-grid .lcnb-details h3{font-size:15px;margin:18px 0 6px}
.lcnb-grid .lcnb-details dl{display:grid;grid-template-columns:minmax(84px,auto) 1fr;gap:3px 16px;margin:0}
.lcnb-grid .lcnb-details dt{opacity:.8;font-weight:400;white-space:nowrap;font-size:13px;padding-top:3px}
.lcnb-grid .lcnb-details dd{margin:0;display:flex;gap:6px 10px;align-items:center;flex-wrap:wrap;min-height:28px;
 overflow-wrap:anywhere}
.lcnb-grid .lcnb-details code{font:600 13.5px/1.5 ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere;
 background:none;
 color:inherit;padding:0}
.lcnb-grid .lcnb-details dd button{height:26px;padding:0 10px;font-size:12.5px;border-radius:7px}
.lcnb-details-table{overflow:auto;max-height:280px;border:1px solid var(--lc-line);border-radius:10px}
.lcnb-grid .lcnb-details table{border-collapse:separate;border-spacing:0;width:100%;font-size:13px;
 font-variant-numeric:tabular-nums}
.lcnb-grid .lcnb-details th{position:sticky;top:0;background:var(--jp-layout-color2,$button);text-align:left;
 padding:5px 10px;
 font-weight:600;white-space:nowrap}
.lcnb-grid .lcnb-details td{padding:5px 10px;border-top:1px solid $row_line;border-bottom:0;vertical-align:top;
 height:auto;white-space:normal;overflow-wrap:anywhere;min-width:52px;max-width:none}
.lcnb-grid .lcnb-details .lcnb-help{font-size:12.5px;margin:6px 0 0}
.lcnb-grid .lcnb-details p{margin:6px 0}.lcnb-grid .lcnb-details a{color:var(--lc-accent)}
.lcnb-grid .lcnb-details iframe{width:100%;height:min(760px,74vh);border:1px solid var(--lc-line);border-radius:10px;
 background:$white}
.lcnb-copied{position:absolute;right:20px;bottom:10px;max-width:calc(100% - 40px);background:var(--lc-accent);
 color:var(--jp-layout-color0,$white);border-radius:8px;padding:4px 12px;font-size:13px;overflow-wrap:anywhere;
 margin:0}
.lcnb-copied:empty{display:none}.lcnb-copy-area{position:absolute;opacity:0;height:1px}
.lcnb-admin a{color:var(--lc-accent);text-decoration:underline}
.lcnb-not-changed{border:1px solid var(--lc-line);border-left:5px solid var(--lc-warning);border-radius:8px;
 padding:6px 14px;margin:6px 0;max-width:900px;font-size:13.5px;overflow-wrap:anywhere}
.lcnb-not-changed ul{margin:2px 0;padding-left:18px}
.lcnb-pictures summary{cursor:pointer;padding:6px 0}
@media (max-width:640px){.lcnb-details-body{padding:4px 14px 28px}.lcnb-details-head{padding:12px 14px}
 .lcnb-admin .lcnb-card{flex:1 1 90px;padding:4px 10px}
 .lcnb-admin .lcnb-card b{font-size:17px}
 .lcnb-bar:not(.lcnb-bar-on) .lcnb-bar-buttons{display:none}.lcnb-bar{min-height:0}
 .lcnb-bar:not(.lcnb-bar-on) .lcnb-bar-text{position:static}.lcnb-grid-bar input{width:100%}
 .lcnb-grid-bar select{flex:1 1 40%;min-width:0;max-width:none}
 .lcnb-hint,.lcnb-begin{margin-left:2px}
 .lcnb-answer .lcnb-row{flex-direction:column;align-items:stretch;gap:2px}.lcnb-answer .lcnb-row label{width:auto}
 .lcnb-answer-flag .lcnb-row{flex-direction:row;align-items:center;padding-left:0}
 .lcnb-row input:not([type=checkbox]),.lcnb-row select{flex:none}}
</style>
""".strip()
).substitute(
    accent=DARK_BLUE,
    good=DARK_GREEN,
    bad=DARK_RED,
    light_accent=LIGHT_BLUE,
    light_good=LIGHT_GREEN,
    light_bad=LIGHT_RED,
    white=WHITE,
    warning=DARK_AMBER,
    line=translucent(NEUTRAL_COLOR, 0.35),
    row_line=translucent(NEUTRAL_COLOR, 0.18),
    shade=translucent(BLACK, 0.45),
    pointed_row=translucent(NEUTRAL_COLOR, 0.12),
    picked_row=translucent(BLUE, 0.2),
    **FORM_COLORS,
)
