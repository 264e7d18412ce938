// The tiles at the top: totals, and rates computed from consecutive answers.

import { el, fill, setText, setTitle, svg } from "./dom.js";
import { bytes, count, perSecond, words } from "./format.js";

const tile = (id) => {
  const node = document.getElementById(id);
  return { node, value: node.querySelector(".value"), parts: node.querySelector(".parts") };
};

const tiles = {
  active: tile("total-active"),
  opened: tile("total-opened"),
  refused: tile("total-refused"),
  closed: tile("total-closed"),
  received: tile("total-received"),
  sent: tile("total-sent"),
  dropped: tile("total-dropped"),
};

/** showTotals renders the totals of a document; rates may be null. */
export function showTotals(data, rates) {
  const t = data.totals;
  setText(tiles.active.value, count(t.active));
  setText(tiles.opened.value, count(t.opened));
  setText(tiles.refused.value, count(t.refused));
  showParts(tiles.refused.parts, t.refused_by.map((r) => ({
    label: `${r.status || "none"} ${words(r.reason)}`, count: r.count, failure: r.status === 0 || r.status >= 500,
  })), 3);
  setText(tiles.closed.value, count(t.closed));
  showParts(tiles.closed.parts, t.closed_by.map((c) => ({
    label: words(c.cause), count: c.count, failure: c.outcome === "failure", unknown: c.outcome === "unknown",
  })), 10);
  setText(tiles.dropped.value, count(t.dropped));
  tiles.dropped.node.classList.toggle("bad", t.dropped > 0);
  showParts(tiles.dropped.parts, t.dropped_by.map((d) => ({
    label: `${d.exporter} ${words(d.reason)}`, count: d.count, failure: true,
  })), 2);
  showRate(tiles.received, rates?.received, t.messages_received, t.bytes_received);
  showRate(tiles.sent, rates?.sent, t.messages_sent, t.bytes_sent);
}

function showParts(node, parts, limit) {
  parts.sort((a, b) => b.count - a.count);
  const shown = parts.slice(0, limit).map((p) => el("span",
    { class: p.failure ? "failure" : p.unknown ? "unknown" : undefined },
    `${p.label} `, el("b", {}, count(p.count))));
  const more = parts.length - shown.length;
  if (more > 0) shown.push(el("span", {}, `+${more} more`));
  const all = parts.map((p) => `${p.label} ${count(p.count)}`).join("\n");
  if (node.dataset.shown === all) return;
  node.dataset.shown = all;
  fill(node, ...shown);
  setTitle(node, more > 0 ? all : "");
}

function showRate(t, rate, messages, size) {
  setText(t.value, rate ? perSecond(rate.messages) : "–");
  t.value.dataset.unit = "messages/s";
  const parts = [`${rate ? bytes(rate.bytes) : "–"}/s`, `${count(messages)} in all`, bytes(size)];
  fill(t.parts, ...parts.map((part) => el("span", {}, part)));
  if (!rate) return;
  t.history = [...(t.history ?? []), rate.messages].slice(-60);
  drawHistory(t);
}

/** forgetRates empties the little charts. */
export function forgetRates() {
  for (const t of [tiles.received, tiles.sent]) {
    t.history = [];
    drawHistory(t);
  }
}

function drawHistory(t) {
  if (!t.line) {
    const chart = svg("svg", { viewBox: "0 0 59 20", preserveAspectRatio: "none", "aria-hidden": "true" });
    t.area = svg("polygon", {});
    t.line = svg("polyline", {});
    chart.append(t.area, t.line);
    t.node.append(chart);
  }
  const top = Math.max(1, ...t.history);
  const start = 60 - t.history.length;
  const points = t.history.map((v, i) => `${start + i},${(19 - (v / top) * 18).toFixed(2)}`).join(" ");
  t.line.setAttribute("points", points);
  t.area.setAttribute("points", points && `${start},20 ${points} 59,20`);
}

/** ratesBetween compares two documents of one process; null when it cannot. */
export function ratesBetween(before, now) {
  const seconds = before ? (now.time - before.time) / 1000 : 0;
  if (seconds <= 0) return null;
  const rate = (field) => Math.max(0, now.totals[field] - before.totals[field]) / seconds;
  return {
    received: { messages: rate("messages_received"), bytes: rate("bytes_received") },
    sent: { messages: rate("messages_sent"), bytes: rate("bytes_sent") },
  };
}
