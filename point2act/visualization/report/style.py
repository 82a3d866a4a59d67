"""How the report looks: light or dark as the reader's system is, one column on a phone."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f4f5f7; --card: #ffffff; --ink: #171a21; --soft: #5c6472; --line: #e2e5ea; --track: #e9ecf0;
  --good: #0a8f68; --warn: #b45309; --warn-paper: #fff6e9; --warn-line: #f3d19b;
  --shade: 0 1px 2px rgb(16 20 30 / 6%), 0 6px 20px rgb(16 20 30 / 5%);
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0f1116; --card: #181b22; --ink: #e8eaef; --soft: #98a1b0; --line: #2a2f39; --track: #2a2f39;
    --good: #34c796; --warn: #f0a95b; --warn-paper: #2a2116; --warn-line: #5c4420;
    --shade: none;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 3.4rem; }
body {
  margin: 0; background: var(--page); color: var(--ink); -webkit-text-size-adjust: 100%;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Inter, Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums;
}
.top, nav, main { padding-inline: max(1.5rem, calc(50% - 596px)); }
.top { padding-top: 2.4rem; }
h1 { margin: 0; font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.02em; }
h2 { margin: 0 0 .35rem; font-size: 1.3rem; letter-spacing: -0.012em; }
h3 { margin: 0; font-size: 1rem; line-height: 1.35; overflow-wrap: anywhere; }
p { margin: 0; }
.soft { color: var(--soft); }
.lead { max-width: 46rem; margin: 0 0 1rem; color: var(--soft); }

.tiles { display: flex; flex-wrap: wrap; gap: 2.2rem; margin: 1.3rem 0 1.1rem; }
.tiles b { display: block; font-size: 1.55rem; line-height: 1.2; letter-spacing: -0.02em; }
.tiles span { color: var(--soft); font-size: .86rem; }

nav {
  position: sticky; top: 0; z-index: 2; display: flex; gap: 1.4rem; overflow-x: auto; white-space: nowrap;
  padding-block: .7rem; background: var(--page); border-bottom: 1px solid var(--line);
}
nav a { color: var(--soft); text-decoration: none; font-size: .9rem; font-weight: 500; }
nav a:hover, nav a:focus-visible { color: var(--ink); }
section { margin: 2rem 0 2.8rem; }

.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(272px, 100%), 1fr)); gap: 1rem; }
.card {
  display: flex; flex-direction: column; gap: .8rem; padding: 1rem; overflow: hidden;
  background: var(--card); border: 1px solid var(--line); border-radius: 14px; box-shadow: var(--shade);
}
.card > figure:first-child { margin: -1rem -1rem 0; }
.card > figure:first-child img { border-radius: 0; aspect-ratio: 3 / 2; }
.panel {
  display: flex; flex-direction: column; gap: .9rem; padding: 1.1rem; margin-bottom: 1rem;
  background: var(--card); border: 1px solid var(--line); border-radius: 14px; box-shadow: var(--shade);
}
.title { display: flex; gap: .6rem; align-items: baseline; }
.title h3 { flex: 1; }
.dot { flex: none; width: .72rem; height: .72rem; border-radius: 50%; background: var(--mark);
  transform: translateY(.05rem); }
.pill {
  flex: none; padding: .05rem .55rem; border: 1px solid var(--line); border-radius: 99px;
  color: var(--soft); font-size: .78rem; white-space: nowrap;
}
.pill.yes { color: var(--good); border-color: currentColor; }
.pill.no { color: var(--warn); border-color: currentColor; }

.measure { display: grid; grid-template-columns: 1fr auto; gap: .1rem .7rem; font-size: .88rem; }
.measure > span { color: var(--soft); }
.bar {
  grid-column: 1 / -1; display: flex; height: .5rem; border-radius: 99px; overflow: hidden;
  background: var(--track);
}
.bar i { background: var(--mark, var(--good)); }
.bar .against { background: var(--warn); }
dl.pairs { display: grid; grid-template-columns: auto 1fr; gap: .2rem 1rem; margin: 0; font-size: .88rem; }
dl.pairs dt { color: var(--soft); }
dl.pairs dd { margin: 0; text-align: right; overflow-wrap: anywhere; }
.why {
  padding: .7rem .9rem; border: 1px solid var(--warn-line); border-radius: 10px;
  background: var(--warn-paper);
  overflow-wrap: anywhere;
}
.why b { display: block; color: var(--warn); }
.why code { color: var(--soft); font-size: .8rem; }

.pictures {
  display: grid;
  grid-template-columns: repeat(auto-fill, minmax(min(var(--least, 168px), 100%), 1fr)); gap: .7rem;
}
.scroll { overflow-x: auto; }
.rows { display: grid; grid-template-columns: repeat(var(--columns), minmax(150px, 1fr)); gap: .5rem; }
.rows > b { font-size: .84rem; font-weight: 600; align-self: end; overflow-wrap: anywhere; }
figure { margin: 0; min-width: 0; }
figure img {
  display: block; width: 100%; height: auto; border-radius: 8px; cursor: zoom-in;
  background: var(--track); object-fit: cover;
}
figure input { position: absolute; opacity: 0; pointer-events: none; }
figure input:focus-visible + img { outline: 3px solid var(--good); outline-offset: 2px; }
figure input:checked + img {
  position: fixed; inset: 0; z-index: 9; width: 100vw; height: 100vh; padding: 3vmin; border-radius: 0;
  object-fit: contain; background: rgb(8 9 12 / 92%); cursor: zoom-out;
}
figcaption { display: flex; justify-content: space-between; gap: .5rem; margin-top: .25rem;
  color: var(--soft);
  font-size: .79rem; line-height: 1.35; }
figcaption span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
figcaption span + span { flex: none; }
figure.rejected img { outline: 2.5px solid var(--warn); outline-offset: -2.5px; }
figure.rejected input:checked + img { outline: none; }
figure.rejected figcaption span + span { color: var(--warn); font-weight: 600; }
figure.unasked img { opacity: .45; }

table { width: 100%; border-collapse: collapse; font-size: .88rem; }
th, td { padding: .35rem .7rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; border: 0; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.best td { font-weight: 650; }
td .bar { display: inline-flex; width: 5.5rem; margin-left: .6rem; vertical-align: middle; }

.panel.times {
  display: grid; grid-template-columns: max-content 1fr max-content; gap: .45rem 1rem;
  align-items: center;
}
.track { position: relative; height: .7rem; border-radius: 99px; background: var(--track); overflow: hidden; }
.track i {
  position: absolute; inset-block: 0; min-width: 2px; border-radius: 2px; background: var(--good);
  opacity: .8;
}
.axis { position: relative; height: 1.2rem; color: var(--soft); font-size: .79rem; }
.axis b { position: absolute; font-weight: 400; transform: translateX(-50%); white-space: nowrap; }
.axis b:first-child { transform: none; }
.times > :nth-child(3n) { text-align: right; }
.times .sum { font-weight: 650; }
.panel.facts {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(230px, 100%), 1fr));
  gap: .9rem 1.6rem; margin: 0;
}
.facts dt { color: var(--soft); font-size: .84rem; }
.facts dd { margin: 0; font-weight: 550; overflow-wrap: anywhere; }
@media (max-width: 640px) {
  h1 { font-size: 1.5rem; }
  .tiles { gap: 1.3rem; }
}
@media print { nav { display: none; } .panel, .card, figure { break-inside: avoid; } }
"""
