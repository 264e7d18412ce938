// The page is built of nodes and text, never of markup: whatever a peer has
// chosen stays text.

import { visible } from "./format.js";

/** el makes an element. Children are nodes or text. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined) node.setAttribute(name, value);
  }
  append(node, children);
  return node;
}

/** svg makes an element of a drawing. */
export function svg(tag, attributes = {}) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function append(node, children) {
  for (const child of children) node.append(child instanceof Node ? child : visible(child));
}

/** fill replaces a node's children. */
export function fill(node, ...children) {
  node.replaceChildren();
  append(node, children);
}

/** setText changes a node's text where it differs. */
export function setText(node, text) {
  const shown = visible(text);
  if (node.textContent !== shown) node.textContent = shown;
}

/** setTitle changes a node's tooltip; an empty one is removed. */
export function setTitle(node, text) {
  const shown = visible(text);
  if (shown === "") node.removeAttribute("title");
  else if (node.title !== shown) node.title = shown;
}

/** arrange makes the children of parent those of list, in that order. */
export function arrange(parent, list) {
  const wanted = new Set(list);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const node of list) {
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
}

/** keepInPlace runs change and then scrolls so that anchor has not moved. */
export function keepInPlace(anchor, change) {
  if (!anchor) return change();
  const before = anchor.getBoundingClientRect().top;
  change();
  if (!anchor.isConnected) return;
  const moved = anchor.getBoundingClientRect().top - before;
  if (moved === 0) return;
  const box = anchor.closest(".scroll");
  const inside = box.scrollHeight > box.clientHeight && getComputedStyle(box).overflowY !== "visible";
  (inside ? box : document.scrollingElement).scrollTop += moved;
}
