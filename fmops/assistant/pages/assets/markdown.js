// Draws Markdown as elements. Only marked's lexer is used: no HTML is ever made, so none of the model's can run.
import { el } from "./dom.js";
import { marked } from "./vendor/marked.js";

const SCHEMES = new Set(["https:", "http:", "mailto:"]);

/** Return the nodes of a Markdown text. HTML in it stays text; images become their descriptions, so that nothing is fetched. */
export function markdown(source) {
  return blocks(marked.lexer(source, { gfm: true, breaks: true }));
}

const blocks = (tokens) => tokens.map(block).flat().filter((node) => node !== null);

function block(token) {
  switch (token.type) {
    case "space": case "def": return null;
    case "hr": return el("hr");
    case "heading": return el(`h${Math.min(6, token.depth + 2)}`, {}, inlines(token.tokens));
    case "paragraph": return el("p", {}, inlines(token.tokens));
    case "blockquote": return el("blockquote", {}, blocks(token.tokens));
    case "code": return el("pre", { tabindex: "0" }, el("code", {}, token.text));
    case "list": return el(token.ordered ? "ol" : "ul", { start: token.ordered && token.start !== 1 ? token.start : null }, token.items.map(item));
    case "table": return table(token);
    case "text": return token.tokens ? inlines(token.tokens) : [decoded(token.text)];
    default: return el("p", {}, token.raw);
  }
}

function item(token) {
  const ticked = token.task ? [token.checked ? "☑ " : "☐ "] : [];
  return el("li", {}, ticked, blocks(token.tokens.filter((each) => each.type !== "checkbox")));
}

function table(token) {
  const row = (cells, name) => el("tr", {}, cells.map((cell) => el(name, { scope: name === "th" ? "col" : null }, inlines(cell.tokens))));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Table" },
    el("table", { class: "plain" }, el("thead", {}, row(token.header, "th")), el("tbody", {}, token.rows.map((cells) => row(cells, "td")))));
}

const inlines = (tokens = []) => tokens.map(inline).flat();

function inline(token) {
  switch (token.type) {
    case "strong": return el("strong", {}, inlines(token.tokens));
    case "em": return el("em", {}, inlines(token.tokens));
    case "del": return el("del", {}, inlines(token.tokens));
    case "codespan": return el("code", {}, token.text);
    case "br": return el("br");
    case "link": return link(token);
    case "image": return decoded(token.text || token.title || "image");
    case "escape": return token.text;
    case "text": return token.tokens ? inlines(token.tokens) : decoded(token.text);
    default: return token.raw;
  }
}

function link(token) {
  const words = inlines(token.tokens);
  let address = null;
  try { address = new URL(token.href); } catch { /* a relative address means nothing here */ }
  if (!address || !SCHEMES.has(address.protocol)) return words;
  // The address is shown too, unless it is what the link says: a link must not hide where it leads.
  const shown = token.text === token.href || token.text === address.href.replace(/^mailto:/, "") ? [] : [` (${address.host || address.pathname})`];
  return el("a", { href: address.href, rel: "noopener noreferrer nofollow", target: "_blank" }, words, shown);
}

// Entities are the lexer's business only in HTML output, so the few that people write are decoded here.
const NAMED = { amp: "&", lt: "<", gt: ">", quot: '"', nbsp: "\u00a0", "#39": "'" };
const decoded = (words) => words.replace(/&(amp|lt|gt|quot|nbsp|#39);/g, (_, name) => NAMED[name]);
