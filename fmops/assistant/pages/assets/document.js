// A document that an answer was made from, if the person may read it.
import { markdown } from "./markdown.js";
import { json } from "./session.js";

export async function show(page, { query, signal }) {
  const document_ = await json(`v1/documents/${encodeURIComponent(query.get("id") ?? "")}`, { signal });
  page.querySelector("#title").textContent = document_.title;
  page.querySelector("#text").replaceChildren(...markdown(document_.text));
}
