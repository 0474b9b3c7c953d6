// Builds elements without ever parsing text as HTML.

/** Return an element. Attributes are set as such, `on…` functions become listeners, and null or false leaves one out. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** Return a text node. */
export const text = (words) => document.createTextNode(words);

/** Return a `<time>` with the local date and time of an ISO 8601 instant. */
export function when(iso) {
  const instant = new Date(iso);
  if (Number.isNaN(instant.getTime())) return text("");
  const shown = instant.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  return el("time", { datetime: instant.toISOString(), title: instant.toISOString() }, shown);
}

/** Return milliseconds as people read them: `240 ms`, `1.24 s`, `2 min 5 s`. */
export function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 60) return `${seconds.toFixed(2)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** Return minor units, such as cents, as an amount in a currency. */
export function money(minor, currency = "USD") {
  return (minor / 100).toLocaleString(undefined, { style: "currency", currency });
}

/** Return USD with as many digits as a small price needs. */
export const dollars = (usd) => (usd === null || usd === undefined ? "no price known" : `$${usd.toFixed(usd < 1 ? 5 : 2)}`);

/** Put a failure into a page, with a button that tries again. */
export function problem(place, failure, again) {
  place.replaceChildren(
    el("div", { class: "notice bad", role: "alert" },
      el("p", {}, failure.message),
      again && el("button", { type: "button", class: "button", onclick: again }, "Try again")),
  );
}
