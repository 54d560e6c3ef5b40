/** The console's style sheet, for light and dark themes and for all screen sizes. */
export const consoleStyle = `
:root {
  color-scheme: light dark;
  --page: light-dark(#f3f6f6, #0d1416);
  --card: light-dark(#ffffff, #141d20);
  --well: light-dark(#f3f6f6, #0d1416);
  --line: light-dark(#dce4e5, #263337);
  --edge: light-dark(#84959a, #61757b);
  --ink: light-dark(#16262b, #e2ebed);
  --faint: light-dark(#566a71, #8fa3aa);
  --water: light-dark(#0b6b74, #56c5cf);
  --good: light-dark(#1c7f4d, #55c98b);
  --bad: light-dark(#b23a2e, #f08a7d);
  --mono: ui-monospace, "Cascadia Mono", "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
* { box-sizing: border-box; margin: 0; }
[hidden] { display: none !important; }
body {
  display: flex; flex-direction: column; gap: .9rem; min-height: 100dvh; padding: 1rem;
  background: var(--page); color: var(--ink); font: .95rem/1.45 system-ui, sans-serif;
}
header { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem 1.1rem; }
h1 { display: flex; align-items: center; gap: .45rem; font-size: 1.2rem; letter-spacing: -.01em; }
h1 svg { color: var(--water); }
h2 { font-size: .95rem; }
dl { display: flex; gap: 1.3rem; }
dl div { display: flex; flex-direction: row-reverse; align-items: baseline; gap: .35rem; }
dt { color: var(--faint); font-size: .85rem; }
dd { font-size: 1.15rem; font-weight: 600; font-variant-numeric: tabular-nums; }
#state { display: flex; align-items: center; gap: .45rem; color: var(--faint); }
#state::before { content: ""; flex: none; width: .6rem; height: .6rem; border-radius: 50%; background: var(--faint); }
#state[data-state=open]::before { background: var(--good); }
#state[data-state=closed]::before { background: var(--bad); }
#upstream, #problem { padding: .5rem .9rem; border: 1px solid var(--bad); border-radius: .7rem; background: var(--card); color: var(--bad); }
#missed { color: var(--bad); }
#history { flex: 1; min-width: 6rem; height: 1.8rem; fill: none; stroke: var(--water); stroke-width: 1.5; }
main { display: flex; flex-direction: column; gap: .9rem; flex: 1; min-height: 0; }
section { padding: .9rem; background: var(--card); border: 1px solid var(--line); border-radius: .7rem; }
aside { display: flex; flex-direction: column; gap: .9rem; }
aside section { display: flex; flex-direction: column; gap: .6rem; }
#messages { display: flex; flex-direction: column; min-width: 0; padding: 0; overflow: hidden; }
#filter, #access { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem; padding: .7rem .9rem; border-bottom: 1px solid var(--line); }
#filter input, #access input { flex: 1 8rem; }
#publish { display: grid; gap: .45rem; }
label { color: var(--faint); font-size: .85rem; }
input, textarea, button { font: inherit; color: inherit; border: 1px solid var(--edge); border-radius: .45rem; background: var(--card); }
input, textarea { width: 100%; min-width: 0; padding: .4rem .6rem; font: .85rem/1.5 var(--mono); resize: vertical; }
input:user-invalid { border-color: var(--bad); }
::placeholder { color: var(--faint); opacity: 1; }
button { min-height: 2.2rem; padding: .3rem .8rem; cursor: pointer; }
button:hover { border-color: var(--water); color: var(--water); }
button.on, button.on:hover { border-color: var(--water); background: var(--water); color: var(--card); }
:focus-visible { outline: 2px solid var(--water); outline-offset: 2px; }
#list { flex: 1; padding: 0; overflow: auto; max-height: 60dvh; list-style: none; font: .82rem/1.5 var(--mono); }
#list:empty { display: none; }
#empty, #held { padding: .7rem .9rem; color: var(--faint); }
#held { padding-block: .35rem; border-bottom: 1px solid var(--line); color: var(--water); font-size: .85rem; }
.gap { padding: .35rem .9rem; color: var(--bad); background: var(--well); overflow-wrap: anywhere; }
li + li { border-top: 1px solid var(--line); }
summary {
  display: grid; grid-template-columns: auto 1fr auto; gap: .1rem .8rem; align-items: baseline;
  padding: .35rem .9rem; cursor: pointer; list-style: none;
}
summary::-webkit-details-marker { display: none; }
summary:hover, details[open] > summary { background: var(--well); }
summary:focus-visible { outline-offset: -2px; }
summary > * { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
time, .mark, .preview { color: var(--faint); }
.subject { color: var(--water); font-weight: 600; }
.mark { font-size: .72rem; }
.preview { grid-column: 1 / -1; }
pre {
  overflow: auto; padding: .7rem .9rem; border-radius: .45rem; background: var(--well);
  font: .82rem/1.5 var(--mono); white-space: pre-wrap; overflow-wrap: anywhere;
}
aside pre { font-size: .78rem; }
details pre { max-height: 24rem; border-radius: 0; }
details p { padding: 0 .9rem .6rem; background: var(--well); color: var(--faint); font-size: .75rem; overflow-wrap: anywhere; }
#lags { padding: 0; list-style: none; font: .82rem/1.5 var(--mono); }
#lags-note { color: var(--faint); font-size: .85rem; }
#lags-shown { align-self: start; }
output { min-height: 1.4em; color: var(--faint); font-size: .85rem; overflow-wrap: anywhere; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media (min-width: 56rem) {
  body { height: 100dvh; padding: 1.2rem 1.5rem; }
  dl { margin-left: auto; }
  #history { flex: none; width: 9rem; }
  main { display: grid; grid-template-columns: 1fr 22rem; }
  aside { overflow: auto; }
  #list { max-height: none; }
  summary { grid-template-columns: auto minmax(6rem, 11rem) 3.2rem 1fr; }
  .preview { grid-column: auto; color: var(--ink); }
}
`;
