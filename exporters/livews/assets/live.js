// The live view: asks for data.json once a second while the page is visible,
// and renders what has changed.

import { setText } from "./dom.js";
import { clock } from "./format.js";
import { forgetCalls, learnCalls, showCalls } from "./calls.js";
import { showConnections } from "./connections.js";
import { forgetTransactions, idOf, learn, reveal, showTransactions, toggle } from "./transactions.js";
import { forgetRates, ratesBetween, showTotals } from "./totals.js";

const interval = 1000; // ms
const patience = 10000; // ms until an answer is given up
const longest = 8000; // ms between attempts while the server is lost

const byId = (id) => document.getElementById(id);
const controls = { filter: byId("filter"), failures: byId("failures"), pause: byId("pause"), selection: byId("selection") };

const view = { data: null, rates: null, paused: false, connection: "", failed: 0, timer: 0, asking: null };

/** filter is what the controls ask for. */
function filter() {
  const text = controls.filter.value.trim().toLowerCase();
  const terms = text.split(/\s+/).filter(Boolean);
  return {
    text, connection: view.connection, failures: controls.failures.checked,
    matches: (fields) => terms.every((term) => fields.some((f) => f.toLowerCase().includes(term))),
  };
}

function render() {
  if (!view.data) return;
  const f = filter();
  controls.selection.hidden = !view.connection;
  setText(controls.selection, `connection ${view.connection} ×`);
  controls.selection.setAttribute("aria-label", `Stop showing only connection ${view.connection}`);
  showDrain(view.data.drain);
  showTotals(view.data, view.rates);
  showConnections(view.data, f);
  showCalls(view.data, f);
  showTransactions(view.data, f);
}

/** showDrain tells how far a shutdown is. */
function showDrain(drain) {
  byId("draining").hidden = !drain;
  if (!drain) return;
  const cut = drain.cut_off ? `, ${drain.cut_off} of them cut off` : "";
  const what = drain.drained ? "Drained" : "Draining";
  setText(byId("draining"), `${what}: ${drain.closed} of ${drain.open + drain.closed} closed${cut}`);
}

function setState(state, text) {
  document.body.dataset.state = state;
  setText(byId("status-text"), text);
}

function accept(data) {
  if (view.failed > 0) byId("lost").hidden = true;
  view.failed = 0;
  view.rates = ratesBetween(view.data, data);
  view.data = data;
  learn(data);
  learnCalls(data);
  setState("live", "Live");
  document.title = `${data.totals.active} open · WebSocket live view`;
  render();
}

function lost(error) {
  view.failed++;
  const since = view.data ? ` This is how it stood at ${clock(view.data.time).slice(0, 8)}.` : "";
  const why = error.status ? ` (it answered HTTP ${error.status})` : "";
  setText(byId("lost"), `Connection to the server lost${why}.${since} Trying again…`);
  byId("lost").hidden = false;
  setState("lost", "Lost");
}

async function ask(signal) {
  const response = await fetch(`data.json?since=${view.data?.seq ?? 0}`, { cache: "no-store", signal });
  if (!response.ok) throw Object.assign(new Error("refused"), { status: response.status });
  return response.json();
}

async function poll() {
  clearTimeout(view.timer);
  if (view.asking || view.paused || document.hidden) return;
  const asking = new AbortController();
  view.asking = asking;
  const giveUp = setTimeout(() => asking.abort(), patience);
  let wait = interval;
  try {
    const data = await ask(asking.signal);
    if (view.data && view.data.instance !== data.instance) {
      // Another process: what it said about changes since then means nothing.
      forgetTransactions();
      forgetCalls();
      forgetRates();
      view.data = null;
      wait = 0;
    } else if (!view.paused) {
      accept(data);
    }
  } catch (error) {
    if (!view.paused) {
      lost(error);
      wait = Math.min(longest, interval * 2 ** (view.failed - 1));
    }
  } finally {
    clearTimeout(giveUp);
    view.asking = null;
  }
  view.timer = setTimeout(poll, wait);
}

function setPaused(paused) {
  view.paused = paused;
  controls.pause.setAttribute("aria-pressed", String(paused));
  setText(controls.pause, paused ? "Resume" : "Pause");
  if (paused) {
    byId("lost").hidden = true;
    setState("paused", "Paused");
  } else {
    setState("loading", "Catching up");
    poll();
  }
}

function select(connection) {
  view.connection = view.connection === connection ? "" : connection;
  render();
}

document.querySelector("form.controls").addEventListener("submit", (event) => event.preventDefault());
controls.filter.addEventListener("input", render);
controls.failures.addEventListener("change", render);
controls.pause.addEventListener("click", () => setPaused(!view.paused));
controls.selection.addEventListener("click", () => select(view.connection));
document.addEventListener("visibilitychange", poll);

document.querySelector("main").addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-select]");
  if (chosen) return select(chosen.dataset.select);
  // A click that ends the selecting of text is none.
  if (!getSelection().isCollapsed && !event.target.closest("button")) return;
  const connection = event.target.closest("[data-connection-id]");
  if (connection) return select(connection.dataset.connectionId);
  const id = idOf(event.target);
  if (id !== undefined) {
    toggle(id);
    render();
    reveal(id);
  }
});

poll();
