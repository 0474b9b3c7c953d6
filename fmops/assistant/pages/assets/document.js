// A document that an answer was made from, or the page of it that was cited, if the person may read it.
import { el } from "./dom.js";
import { markdown } from "./markdown.js";
import { json } from "./session.js";

export async function show(page, { query, signal }) {
  const id = query.get("id") ?? "", number = query.get("page");
  const path = id.split("/").map(encodeURIComponent).join("/");
  const document_ = await json(`v1/documents/${path}${number ? `?page=${encodeURIComponent(number)}` : ""}`, { signal });
  page.querySelector("#title").textContent = document_.title;
  page.querySelector("#text").replaceChildren(...document_.passages.map((passage) => el("section", { class: "passage" },
    passage.page && el("h2", { class: "muted" }, `Page ${passage.page}`), markdown(passage.text))));
  if (number) page.querySelector("#whole").append(el("a", { href: `document?id=${encodeURIComponent(id)}` }, "Show the whole document"));
}
