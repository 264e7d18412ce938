// The table of transactions: those in progress, then the latest that finished.

import { arrange, el, fill, keepInPlace, setText, setTitle } from "./dom.js";
import { bytes, clock, count, duration, plural, words } from "./format.js";
import { detail } from "./detail.js";

const panel = document.querySelector("#transactions-panel .scroll");
const body = document.querySelector("#transactions tbody");
const note = document.getElementById("transactions-note");
const empty = document.getElementById("transactions-empty");

const finished = new Map(); // by id, in the order in which they finished
const rows = new Map(); // by id
const open = new Map(); // by id, as last seen

// Younger ones in progress will mostly have finished by the next answer.
const worthShowing = 500; // ms

/** forgetTransactions is for a server that has started anew. */
export function forgetTransactions() {
  finished.clear();
  rows.clear();
  open.clear();
}

/** learn takes in a document's finished transactions. */
export function learn(data) {
  for (const t of data.transactions) finished.set(t.id, t);
  // As on the server: the latest, and beyond them some failures. What is open
  // is kept until it is closed.
  const older = [...finished.values()].slice(0, -data.limits.transactions);
  let spare = older.filter((t) => t.outcome === "failure").length - data.limits.failures;
  for (const t of older) {
    if (open.has(t.id) || (t.outcome === "failure" && spare-- <= 0)) continue;
    finished.delete(t.id);
  }
}

/** toggle opens or closes a transaction. */
export function toggle(id) {
  if (!open.delete(id)) open.set(id, rows.get(id).transaction);
}

/** reveal scrolls to what an opened transaction shows. */
export function reveal(id) {
  const r = rows.get(id);
  if (!r?.detail.isConnected) return;
  r.detail.scrollIntoView({ block: "nearest" });
  r.row.scrollIntoView({ block: "nearest" }); // first where both do not fit
}

/** idOf returns the transaction that a node belongs to, or undefined. */
export function idOf(node) {
  const id = node.closest("[data-transaction-id]")?.dataset.transactionId;
  return id === undefined ? undefined : Number(id);
}

/** showTransactions renders the transactions that match the filter. */
export function showTransactions(data, filter) {
  const running = data.running.filter((t) => !finished.has(t.id)
    && (open.has(t.id) || data.time - t.start >= worthShowing));
  const all = [...running.reverse(), ...[...finished.values()].reverse()];
  const known = new Set(all.map((t) => t.id));
  // What was opened in progress may have come and gone between two answers.
  for (const [id, t] of open) if (!known.has(id)) all.push({ ...t, gone: true });
  const shown = all.filter((t) => (!filter.failures || t.outcome === "failure")
    && (!filter.connection || t.connection === filter.connection)
    && filter.matches([t.connection, t.user, t.name, t.route, t.result]));

  for (const id of rows.keys()) if (!known.has(id) && !open.has(id)) rows.delete(id);
  const list = shown.flatMap((t) => {
    if (!rows.has(t.id)) rows.set(t.id, makeRow(t.id));
    const r = rows.get(t.id);
    update(r, t, data);
    return open.has(t.id) ? [r.row, r.detail] : [r.row];
  });
  keepInPlace(anchor(), () => arrange(body, list));
  describe(data, all.length, shown.length, filter);
}

// anchor is the row that must not move: an open one, or what is read further
// down.
function anchor() {
  const box = panel.getBoundingClientRect();
  const top = Math.max(0, box.top);
  const bottom = Math.min(innerHeight, box.bottom);
  const inView = [...body.children].filter((row) => {
    const r = row.getBoundingClientRect();
    return r.bottom > top && r.top < bottom;
  });
  const opened = inView.find((row) => open.has(idOf(row)));
  if (opened) return opened;
  const scrolled = panel.scrollTop > 0 || box.top < 0;
  return scrolled ? inView[1] : undefined;
}

function makeRow(id) {
  const cell = (name, cls, label) => el("td", { role: "cell", "data-column": name, class: cls, "data-label": label });
  const cells = {
    time: cell("time"), type: cell("type"), name: cell("name"), connection: cell("connection"),
    user: cell("user"), about: cell("about"), result: cell("result"), duration: cell("duration", "number"),
  };
  const button = el("button", { type: "button", class: "open", "aria-expanded": "false", "aria-controls": `detail-${id}` });
  cells.name.append(button);
  const row = el("tr", { role: "row", class: "transaction", "data-transaction-id": id });
  row.append(...Object.values(cells));
  const inside = el("td", { role: "cell", colspan: "8" });
  const below = el("tr", { role: "row", class: "detail", id: `detail-${id}`, "data-detail-of": id });
  below.append(inside);
  return { row, cells, button, detail: below, inside, seq: undefined };
}

function update(r, t, data) {
  const isOpen = open.has(t.id);
  r.row.classList.toggle("expanded", isOpen);
  r.button.setAttribute("aria-expanded", String(isOpen));
  r.transaction = t;
  if (isOpen && !t.gone) open.set(t.id, t);
  if (r.seq !== t.seq || (t.duration === null && !r.gone)) {
    r.seq = t.seq;
    r.gone = t.gone;
    r.stale = true;
    updateCells(r, t, data);
  }
  if (isOpen && r.stale) {
    r.stale = false;
    fill(r.inside, detail(t, data));
  }
}

function updateCells({ row, cells, button }, t, data) {
  row.dataset.type = t.type;
  row.dataset.outcome = t.outcome || "running";
  row.dataset.partial = t.result === "partial";
  row.dataset.refused = t.type === "Connection" && t.duration !== null && t.result !== "HTTP 1xx";
  setText(cells.time, clock(t.start));
  setTitle(cells.time, new Date(t.start).toISOString());
  setText(cells.type, t.type);
  setText(button, t.name);
  setTitle(button, t.name);
  if (!cells.connection.firstChild && !t.connection) {
    cells.connection.append("–"); // a broadcast
  } else if (!cells.connection.firstChild) {
    const id = el("button", { type: "button", class: "id", "data-select": t.connection }, t.connection);
    setTitle(id, "Show only this connection");
    cells.connection.append(id);
  }
  setText(cells.user, t.user || "–");
  setTitle(cells.user, t.user);
  const about = t.error ? t.error.message : summary(t);
  setText(cells.about, about);
  setTitle(cells.about, about);
  cells.about.classList.toggle("error", Boolean(t.error));
  setText(cells.result, t.gone ? "not kept" : t.duration === null ? "in progress" : words(t.result));
  setText(cells.duration, t.gone ? "–" : t.duration === null ? duration(Math.max(0, data.time - t.start) * 1e6)
    : t.type === "Disconnection" ? "–" : duration(t.duration));
}

/** summary says the most telling attributes in a few words. */
function summary(t) {
  const a = Object.fromEntries(t.attributes.map((x) => [x.name, x.value]));
  const parts = [];
  switch (t.type) {
    case "Connection":
      parts.push([a["http.response.status_code"] ?? (t.duration === null ? "" : "no answer"),
        words(a["websocket.refusal.reason"] ?? "")].filter(Boolean).join(" "), a["websocket.subprotocol"]);
      break;
    case "Disconnection":
      parts.push(a["websocket.connection.duration"] !== undefined && `after ${duration(Math.round(a["websocket.connection.duration"] * 1e9))}`,
        a["websocket.close.initiator"] && `by ${a["websocket.close.initiator"]}`,
        a["websocket.close.code"] !== "none" && a["websocket.close.code"],
        a["websocket.close.reason"] && `“${a["websocket.close.reason"]}”`);
      break;
    default:
      parts.push(a["websocket.message.raw_name"] && `“${a["websocket.message.raw_name"]}”`,
        a["websocket.message.type"],
        a["websocket.message.length"] !== undefined && bytes(a["websocket.message.length"]),
        a["websocket.broadcast.recipients"] !== undefined && `to ${count(a["websocket.broadcast.recipients"])}`,
        a["websocket.broadcast.failed"] > 0 && `${count(a["websocket.broadcast.failed"])} failed`);
  }
  const spans = t.spans.length + t.spans_dropped;
  if (spans > 0) parts.push(plural(spans, "span"));
  return parts.filter(Boolean).join(" · ");
}

function describe(data, known, shown, filter) {
  const { transactions, failures } = data.limits;
  let text = `${count(data.finished_total)} recorded`;
  if (data.finished_total > transactions) {
    text = `latest ${count(transactions)} of ${count(data.finished_total)} recorded, and up to ${plural(failures, "older failure")}`;
  }
  if (data.running_total > 0) text = `${count(data.running_total)} in progress · ${text}`;
  if (shown !== known) text = `${count(shown)} of ${count(known)} match · ${text}`;
  setText(note, text);
  empty.hidden = shown > 0;
  if (known === 0) {
    setText(empty, data.attached ? "Nothing recorded yet. Handshakes, messages and disconnects appear here as they happen."
      : "Nothing recorded.");
  } else if (filter.failures) {
    setText(empty, filter.connection || filter.text ? "No failure matches the filter." : "No failures. All is well.");
  } else {
    setText(empty, "No transaction matches the filter.");
  }
}
