"""The report's style sheet: one column of text, light and dark, from a phone's width up."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf7; --card: #ffffff; --ink: #1c1e22; --muted: #686c74; --rule: #dedcd5; --accent: #1b5e8c;
  --tint: #e9f0f5;
  --line0: #1b5e8c; --line1: #b3631a; --line2: #3b7d4f; --line3: #8a4a86; --line4: #6b6f76; --line5: #a03a3a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171a; --card: #1b1e22; --ink: #e7e5df; --muted: #9a9da4; --rule: #34383e; --accent: #7db8e0;
    --tint: #1f2c36;
    --line0: #7db8e0; --line1: #e0a066; --line2: #84c498; --line3: #cf98cb; --line4: #a9adb4; --line5: #e28d8d;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: anywhere;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
main { max-width: 58rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
.eyebrow { margin: 0; color: var(--muted); font-size: .8rem; letter-spacing: .09em; text-transform: uppercase; }
h1 { margin: .1rem 0 .6rem; font-size: clamp(1.8rem, 6vw, 2.6rem); line-height: 1.12; letter-spacing: -.02em; }
h2 { margin: 0 0 .35rem; font-size: 1.3rem; line-height: 1.25; letter-spacing: -.01em; }
h3 { margin: 0 0 .2rem; font-size: 1rem; line-height: 1.3; }
.lead { margin: 0 0 1.4rem; max-width: 42rem; font-size: 1.15rem; line-height: 1.5; }
section { margin-top: 2.6rem; padding-top: 1.5rem; border-top: 1px solid var(--rule); }
p { margin: .4rem 0 .9rem; max-width: 42rem; }
.note, figcaption { color: var(--muted); font-size: .875rem; line-height: 1.5; }
a { color: var(--accent); }
dl.facts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .9rem 1.25rem; margin: 0;
}
dl.facts div { min-width: 0; }
dt { color: var(--muted); font-size: .8rem; }
dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; margin: .8rem 0; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
th, td { padding: .38rem .7rem; text-align: right; vertical-align: baseline; white-space: nowrap; }
th:first-child, td:first-child { padding-left: .4rem; text-align: left; }
thead th { color: var(--muted); font-weight: 500; font-size: .8rem; border-bottom: 1px solid var(--muted); }
tbody th { font-weight: 400; text-align: left; }
tbody tr + tr > * { border-top: 1px solid var(--rule); }
td.text, th.text { text-align: left; }
td.wrap { white-space: normal; min-width: 13rem; }
tr.best > *, td.best { background: var(--tint); }
tr.best th, td.best, .strong { font-weight: 650; }
tr.group th { padding-top: 1rem; color: var(--muted); font-size: .8rem; letter-spacing: .05em; }
tr.mean > * { font-style: italic; }
tr.total > * { border-top: 1px solid var(--muted); font-weight: 600; }
.mark { color: var(--muted); font-size: .8rem; font-weight: 400; }
td { position: relative; }
td .mark { position: absolute; margin-left: .1em; }
th[scope="row"] { position: sticky; left: 0; background: var(--paper); }
tr.best th[scope="row"] { background: var(--tint); }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1.6rem 2rem; }
figure { margin: .6rem 0; min-width: 0; }
.grid > * { max-width: 30rem; }
svg.chart { display: block; width: 100%; height: auto; }
svg.chart * { stroke-linejoin: round; stroke-linecap: butt; }
svg.chart text { font-family: inherit !important; }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .2rem 0; padding: 0; list-style: none;
  font-size: .875rem; }
.key li::before {
  content: ""; display: inline-block; width: 1rem; height: .2rem; margin-right: .4rem; vertical-align: .2em;
  background: var(--own);
}
.images {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(8.2rem, 1fr)); gap: 1.1rem .9rem;
  margin: 1rem 0; padding: 0; list-style: none;
}
.images img, .images .gone {
  display: block; width: 100%; aspect-ratio: 1; object-fit: contain; border: 1px solid var(--rule);
  border-radius: 4px; background: var(--card);
}
.images .gone { display: grid; place-items: center; color: var(--muted); font-size: .8rem; }
.images p { margin: .35rem 0 0; font-size: .85rem; line-height: 1.35; }
pre {
  overflow-x: auto; white-space: pre-wrap; margin: .8rem 0; padding: .8rem 1rem; border: 1px solid var(--rule);
  border-radius: 4px;
  background: var(--card); font-size: .85rem;
}
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre span { white-space: nowrap; }
details { margin: .6rem 0; }
summary { cursor: pointer; color: var(--accent); font-size: .9rem; }
summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media (max-width: 30rem) { main { padding: 1.5rem 1rem 3rem; } th, td { padding: .38rem .5rem; } }
@media print { .scroll { overflow: visible; } section { break-inside: avoid; } }
"""
