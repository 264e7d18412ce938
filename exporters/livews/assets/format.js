// Numbers, times and strings as people read them.

const whole = new Intl.NumberFormat("en");

/** count returns 1234567 as "1,234,567". */
export const count = (n) => whole.format(n);

/** plural returns "1 span", "2 spans". */
export const plural = (n, noun) => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

const three = (x) => (x >= 99.95 ? x.toFixed(0) : x >= 9.995 ? x.toFixed(1) : x.toFixed(2));

/** bytes returns a size, in units of 1000. */
export function bytes(n) {
  if (n < 1000) return `${Math.round(n)} B`;
  for (const unit of ["KB", "MB", "GB"]) {
    n /= 1000;
    if (n < 999.5) return `${three(n)} ${unit}`;
  }
  return `${three(n / 1000)} TB`;
}

/** perSecond returns a rate without a unit. */
export function perSecond(x) {
  if (x === 0) return "0";
  return x < 99.95 ? x.toFixed(1) : count(Math.round(x));
}

/** duration returns nanoseconds in a fitting unit. */
export function duration(ns) {
  if (ns === 0) return "0";
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 999.5e3) return `${three(ns / 1e3)} µs`;
  if (ns < 999.5e6) return `${three(ns / 1e6)} ms`;
  if (ns < 59.95e9) return `${three(ns / 1e9)} s`;
  return age(ns / 1e6);
}

/** age returns milliseconds as "3 m 12 s". */
export function age(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} m ${two(s % 60)} s`;
  const h = Math.floor(m / 60);
  if (h < 24) return `${h} h ${two(m % 60)} m`;
  return `${Math.floor(h / 24)} d ${two(h % 24)} h`;
}

const two = (n) => String(n).padStart(2, "0");

/** clock returns a Unix time in milliseconds as local time of day. */
export function clock(ms) {
  const t = new Date(ms);
  return `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}.${String(t.getMilliseconds()).padStart(3, "0")}`;
}

/** words returns "going_away" as "going away", and "_OTHER" as it is. */
export const words = (name) => name.replaceAll(/(?<=.)_/g, " ");

// Marks of writing direction would let a name rearrange the text beside it.
const marks = /[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

/** visible shows the characters that would otherwise only have an effect. */
export const visible = (s) =>
  String(s).replace(marks, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
