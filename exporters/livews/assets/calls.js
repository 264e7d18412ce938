// The table of outbound calls: whose they are, by host, route and message. The
// server counts since its start; what the last minute had is the page's own
// reckoning, from the answers that it has got.

import { arrange, el, setText, setTitle } from "./dom.js";
import { age, count, plural } from "./format.js";

const panel = document.getElementById("calls-panel");
const body = document.querySelector("#calls tbody");
const recent = document.getElementById("calls-recent");
const note = document.getElementById("calls-note");
const empty = document.getElementById("calls-empty");
const rows = new Map();

const minute = 60000; // ms
const late = 10000; // ms by which an answer may be

let samples = []; // oldest first: one a minute old, if there is one, and what is younger

const keyOf = (c) => JSON.stringify([c.host, c.route, c.name]);

/** learnCalls takes in a document's counts. */
export function learnCalls(data) {
  samples.push({
    time: data.time,
    counts: new Map(data.calls.map((c) => [keyOf(c), c.count])),
    whole: data.calls.length === data.calls_total,
  });
  while (samples.length > 1 && data.time - samples[1].time >= minute) samples.shift();
  const seen = data.time - samples[0].time;
  if (seen < 0 || seen > minute + late) samples = samples.slice(-1); // nobody looked meanwhile, or the clock was set
}

/** forgetCalls is for a server that has started anew. */
export function forgetCalls() {
  samples = [];
  rows.clear();
}

/** since returns how many calls there were since then. */
function since(base, c) {
  // One that a cut list did not have may have been there.
  const before = base.counts.get(keyOf(c)) ?? (base.whole ? 0 : c.count);
  return Math.max(0, c.count - before);
}

const columns = [["host"], ["route"], ["name"], ["share"], ["recent", "Last minute"], ["count", "In all"]];
const numbers = new Set(["recent", "count"]);

function makeRow() {
  const cells = {};
  const row = el("tr", { role: "row" });
  for (const [name, label] of columns) {
    cells[name] = el("td", {
      role: "cell", "data-column": name, "data-label": label, class: numbers.has(name) ? "number" : undefined,
    });
    row.append(cells[name]);
  }
  const bar = el("span", { class: "share-bar", "aria-hidden": "true" });
  cells.share.append(bar);
  return { row, cells, bar };
}

function update({ row, cells, bar }, c, most, label) {
  for (const name of ["host", "route", "name"]) {
    setText(cells[name], c[name]);
    setTitle(cells[name], name === "name" && c.name === "CONNECT" ? "CONNECT: in the handshake" : c[name]);
  }
  setText(cells.recent, c.recent === null ? "–" : count(c.recent));
  cells.recent.dataset.label = label;
  setText(cells.count, count(c.count));
  bar.style.setProperty("--part", most ? c.recent / most : 0);
  row.classList.toggle("quiet", c.recent === 0);
}

/** showCalls renders the calls that match the filter, the busiest first. */
export function showCalls(data, filter) {
  panel.hidden = data.calls.length === 0;
  const base = samples[0];
  const passed = base ? data.time - base.time : 0;
  const seen = passed < 1000 ? 0 : passed; // less says nothing
  const all = data.calls.map((c) => ({ ...c, key: keyOf(c), recent: seen > 0 ? since(base, c) : null }));
  const shown = all.filter((c) => filter.matches([c.host, c.route, c.name]));
  shown.sort((a, b) => b.recent - a.recent || b.count - a.count);
  const most = Math.max(0, ...all.map((c) => c.recent));
  const known = new Set(all.map((c) => c.key));
  for (const key of rows.keys()) if (!known.has(key)) rows.delete(key);
  const label = seen > 0 && seen < minute ? `Last ${age(seen)}` : "Last minute";
  arrange(body, shown.map((c) => {
    if (!rows.has(c.key)) rows.set(c.key, makeRow());
    const r = rows.get(c.key);
    update(r, c, most, label);
    return r.row;
  }));
  setText(recent, label);
  setTitle(recent, seen < minute ? "The page counts since it was opened" : "");
  const sum = all.reduce((n, c) => n + c.recent, 0);
  let text = seen > 0 ? `${plural(sum, "call")} in the ${label.toLowerCase()}` : "";
  if (shown.length < all.length) text = `${count(shown.length)} of ${count(all.length)} match`;
  if (data.calls_total > all.length) text += ` · the ${count(all.length)} of ${count(data.calls_total)} with the most calls`;
  setText(note, text);
  empty.hidden = shown.length > 0;
  setText(empty, `None of ${plural(all.length, "row")} matches the filter.`);
}
