/** An element with properties and children; text is always text, never HTML. */
function h(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

function svg(name, properties = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), properties, children);
}

function filled(element, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key.startsWith("--")) element.style.setProperty(key, value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

const swatch = (colour) => h("span", { class: "swatch", "--colour": colour, "aria-hidden": "true" });

/** A page's address: its name and what it shows. */
const address = (...parts) => "#/" + parts.map(encodeURIComponent).join("/");

/** A choice among values with its label; the first one stands for no choice. */
function select(label, options, value, changed) {
  const mark = () => list.classList.toggle("active", list.selectedIndex > 0);
  const list = h("select", { onchange: () => { mark(); changed(list.value); } },
    options.map(([key, words]) => h("option", { value: key, selected: key === value }, words)));
  mark();
  return h("label", {}, label, list);
}

function search(label, value, changed) {
  const input = h("input", { type: "search", value, placeholder: "words", oninput: () => changed(input.value) });
  return h("label", {}, label, input);
}

/** Shows a text beside the pointer, or beside the element that has the focus. */
function withTip(element, text) {
  const tip = document.getElementById("tip");
  const show = (x, y) => {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(x + 14, innerWidth - box.width - 8)) + "px";
    tip.style.top = Math.max(4, Math.min(y + 14, innerHeight - box.height - 8)) + "px";
  };
  const hide = () => { tip.hidden = true; };
  element.addEventListener("pointermove", (event) => show(event.clientX, event.clientY));
  element.addEventListener("pointerleave", hide);
  element.addEventListener("focus", () => {
    const box = element.getBoundingClientRect();
    show(box.right, box.bottom);
  });
  element.addEventListener("blur", hide);
  return element;
}

/** Draws into an element as wide as it is, now and whenever that or the colours change. */
function drawn(className, draw) {
  const holder = h("div", { class: className });
  let width = 0;
  const again = () => {
    if (holder.isConnected && holder.clientWidth) holder.replaceChildren(draw(holder.clientWidth));
  };
  new ResizeObserver(() => {
    if (Math.abs(holder.clientWidth - width) > 1) {
      width = holder.clientWidth;
      again();
    }
  }).observe(holder);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  return holder;
}
