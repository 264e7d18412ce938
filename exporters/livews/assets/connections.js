// The table of open connections.

import { arrange, el, setText, setTitle } from "./dom.js";
import { age, bytes, count, duration, plural } from "./format.js";

const body = document.querySelector("#connections tbody");
const note = document.getElementById("connections-note");
const empty = document.getElementById("connections-empty");
const rows = new Map();

const columns = [
  ["id", "Connection"], ["user", "User"], ["route", "Route"], ["peer", "Peer"], ["age", "Age"],
  ["received", "Received"], ["received-bytes", ""], ["sent", "Sent"], ["sent-bytes", ""], ["rtt", "RTT"],
];
const numbers = new Set(["age", "received", "received-bytes", "sent", "sent-bytes", "rtt"]);

function makeRow(id) {
  const button = el("button", { type: "button", class: "id", "data-select": id, "aria-pressed": "false" });
  setText(button, id);
  setTitle(button, "Show only the transactions of this connection");
  const cells = {};
  const row = el("tr", { role: "row", "data-connection-id": id });
  for (const [name, label] of columns) {
    cells[name] = el("td", {
      role: "cell", "data-column": name, "data-label": label || undefined,
      class: numbers.has(name) ? "number" : undefined,
    });
    row.append(cells[name]);
  }
  cells.id.append(button);
  return { row, cells, button };
}

function update({ row, cells, button }, c, now, selected) {
  setText(cells.user, c.user || "–");
  setTitle(cells.user, c.user);
  setText(cells.route, c.route);
  setTitle(cells.route, c.route);
  setText(cells.peer, c.peer);
  setText(cells.age, age(now - c.opened));
  setText(cells.received, count(c.messages_received));
  setText(cells["received-bytes"], bytes(c.bytes_received));
  setText(cells.sent, count(c.messages_sent) + (c.messages_queued ? ` + ${count(c.messages_queued)} queued` : ""));
  setTitle(cells.sent, c.messages_queued ? `${plural(c.messages_queued, "message")} more in the send queue` : "");
  setText(cells["sent-bytes"], bytes(c.bytes_sent));
  setText(cells.rtt, c.rtt ? duration(c.rtt) : "–");
  row.classList.toggle("selected", selected);
  button.setAttribute("aria-pressed", String(selected));
}

/** showConnections renders the connections that match the filter. */
export function showConnections(data, filter) {
  const shown = data.connections.filter((c) => filter.matches([c.id, c.user, c.route, c.peer]));
  const known = new Set(data.connections.map((c) => c.id));
  for (const id of rows.keys()) if (!known.has(id)) rows.delete(id);
  arrange(body, shown.map((c) => {
    if (!rows.has(c.id)) rows.set(c.id, makeRow(c.id));
    const r = rows.get(c.id);
    update(r, c, data.time, c.id === filter.connection);
    return r.row;
  }));
  const listed = data.connections.length;
  const total = data.totals.active;
  let text = shown.length === listed ? count(listed) : `${count(shown.length)} of ${count(listed)} match`;
  if (total > listed && listed >= data.limits.connections) {
    text = `${shown.length === listed ? "" : `${text} among the `}newest ${count(listed)} of ${count(total)}`;
  }
  setText(note, text);
  empty.hidden = shown.length > 0;
  if (!data.attached) {
    setText(empty, "No agent is attached. Name this view in apmws.Options.Exporters.");
  } else if (listed === 0) {
    setText(empty, "No connection is open. One appears here as soon as a handshake is accepted.");
  } else {
    setText(empty, `None of ${plural(listed, "connection")} matches the filter.`);
  }
}
