// What an opened transaction shows: its error, its spans as a waterfall, its
// attributes.

import { el, setTitle } from "./dom.js";
import { duration, plural } from "./format.js";

/** detail builds the inside of an opened row. */
export function detail(t, data) {
  const box = el("div", { class: "inside" });
  if (t.error) {
    box.append(el("p", { class: "failure-text" }, el("code", {}, t.error.type), " ", el("span", {}, t.error.message)));
  }
  if (t.spans.length > 0 || t.type !== "Disconnection") box.append(waterfall(t, data));
  box.append(attributeList(t.attributes, t.attributes_dropped));
  return box;
}

/** ordered returns spans as a tree flattened: each parent before its children. */
function ordered(spans) {
  const below = new Map();
  for (const s of spans) below.set(s.parent, [...(below.get(s.parent) ?? []), s]);
  const flat = [];
  const visit = (parent, depth) => {
    for (const s of below.get(parent) ?? []) {
      flat.push({ ...s, depth });
      visit(s.number, depth + 1);
    }
  };
  visit(0, 1);
  return flat;
}

function waterfall(t, data) {
  const elapsed = t.duration ?? Math.max(0, data.time - t.start) * 1e6;
  const endOf = (s) => s.offset + (s.duration ?? Math.max(0, elapsed - s.offset));
  const scale = Math.max(1, elapsed, ...t.spans.map(endOf));
  const box = el("div", { class: "waterfall", role: "table", "aria-label": "Spans" });
  box.append(axis(scale));
  box.append(line({ name: t.name, type: t.type, offset: 0, duration: t.duration, outcome: t.outcome, depth: 0, root: true }, elapsed, scale));
  for (const s of ordered(t.spans)) box.append(line(s, elapsed, scale));
  if (t.spans_dropped > 0) {
    const more = `${plural(t.spans_dropped, "more span")} not kept (at most ${data.limits.spans} are)`;
    box.append(el("div", { class: "more", role: "row" }, el("span", { role: "cell" }, more)));
  }
  return box;
}

function axis(scale) {
  const ticks = el("span", { class: "track", role: "cell" });
  for (const part of [0, 0.25, 0.5, 0.75]) {
    const tick = el("span", { class: "tick" }, part === 0 ? "0" : duration(Math.round(scale * part)));
    tick.style.setProperty("--at", part);
    ticks.append(tick);
  }
  return el("div", { class: "line axis", role: "row" },
    el("span", { class: "what", role: "columnheader" }, "Span"), ticks,
    el("span", { class: "offset", role: "columnheader" }, "Offset"),
    el("span", { class: "length", role: "columnheader" }, "Duration"));
}

function line(s, elapsed, scale) {
  const length = s.duration ?? Math.max(0, elapsed - s.offset);
  const bar = el("span", {
    class: "span-bar", "data-kind": s.root ? "root" : kind(s), "data-outcome": s.outcome || "running",
  });
  bar.style.setProperty("--from", Math.max(0, s.offset / scale));
  bar.style.setProperty("--part", length / scale);
  const what = el("span", { class: "what", role: "cell" },
    el("span", { class: "span-name" }, s.name),
    s.root ? "" : el("span", { class: "span-type" }, s.destination ? `${s.type} → ${s.destination}` : s.type));
  what.style.setProperty("--depth", s.depth);
  setTitle(what, [s.name, s.type, s.destination].filter(Boolean).join("\n"));
  const row = el("div", { class: "line", role: "row", "data-span": s.root ? undefined : s.number, "data-outcome": s.outcome || "running" },
    what, el("span", { class: "track", role: "cell" }, bar),
    el("span", { class: "offset", role: "cell" }, s.root ? "" : `+${duration(Math.max(0, s.offset))}`),
    el("span", { class: "length", role: "cell" }, s.duration === null ? "in progress" : duration(s.duration)));
  if (!s.attributes?.length) return row;
  const block = document.createDocumentFragment();
  block.append(row, el("div", { class: "span-attributes", role: "row" },
    el("span", { role: "cell" }, s.attributes.map((a) => `${a.name}: ${a.value}`).join(" · "))));
  block.lastChild.style.setProperty("--depth", s.depth);
  return block;
}

function kind(s) {
  if (s.type.startsWith("websocket.")) return "websocket";
  return s.destination || /^(db|cache|external|messaging|storage)\b/.test(s.type) ? "exit" : "app";
}

function attributeList(attributes, dropped) {
  const list = el("dl", { class: "attributes" });
  for (const a of attributes) {
    const value = el("dd", {}, a.value);
    list.append(el("div", {}, el("dt", {}, a.name), value));
  }
  if (dropped > 0) list.append(el("div", {}, el("dt", {}, plural(dropped, "more attribute")), el("dd", {}, "not kept")));
  return list;
}
