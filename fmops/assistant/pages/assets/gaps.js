// Coverage gaps of the last report, and the editor of the documents that close them.
import { json } from "./session.js";
import { el, problem, when } from "./dom.js";

const STATES = {
  draft: ["draft", "warn"],
  publishing: ["publication was interrupted", "bad"],
  published: ["published", "good"],
  discarded: ["discarded", ""],
};
const place = (id) => `v1/drafts/${encodeURIComponent(id)}`;

export async function show(page, { query, signal, navigate }) {
  const part = (id) => page.querySelector(`#${id}`);
  const id = query.get("draft");
  let draft = null; // as the server has it

  async function load() {
    if (id) edit(await json(place(id), { signal }));
    else list(await json("v1/gaps", { signal }));
    part("problem").replaceChildren();
    part("loading").hidden = true;
    part(id ? "editor" : "list").hidden = false;
  }

  async function tried() {
    try { await load(); } catch (failure) {
      if (signal.aborted) return;
      part("loading").hidden = true;
      problem(part("problem"), failure, tried);
    }
  }

  function list({ gaps, earlier }) {
    const none = el("p", { class: "empty" }, "The last report has no gap, or there is no report yet: the analysis runs once a day.");
    part("gaps").replaceChildren(...(gaps.length ? gaps.map(card) : [none]));
    part("earlier").hidden = !earlier.length;
    part("others").replaceChildren(...earlier.map((each) => el("li", {}, link(each, each.title), " ", chip(each.state))));
  }

  function card(gap) {
    const words = gap.terms.join(", ") || "Questions without a document";
    const open = gap.draft && gap.draft.state !== "discarded";
    return el("article", { class: "card", "data-gap": gap.id },
      el("div", { class: "head" }, el("h2", {}, words), el("span", { class: "chip" }, `${share(gap.share)} of all questions`), gap.draft && chip(gap.draft.state)),
      el("ul", {}, gap.questions.map((question) => el("li", {}, question))),
      gap.similarity !== null && el("p", { class: "muted" }, `Similarity to the nearest document: ${gap.similarity.toFixed(2)} (1 is the same text).`),
      el("p", {}, open
        ? link(gap.draft, gap.draft.state === "published" ? `Published: ${gap.draft.title}` : `Open the draft: ${gap.draft.title}`)
        : el("button", { type: "button", class: "button primary", "aria-label": `Draft a document: ${words}`, onclick: ({ currentTarget }) => make(gap, currentTarget) }, "Draft a document")));
  }

  async function make(gap, button) {
    button.disabled = true;
    part("problem").replaceChildren();
    part("outcome").replaceChildren(el("p", { class: "notice" }, "The draft is being written. This takes some seconds …"));
    try {
      const made = await json(`v1/gaps/${encodeURIComponent(gap.id)}/drafts`, { method: "POST", signal });
      navigate(`gaps?draft=${encodeURIComponent(made.id)}`);
    } catch (failure) {
      if (signal.aborted) return;
      button.disabled = false;
      part("outcome").replaceChildren();
      problem(part("problem"), failure);
    }
  }

  function edit(shown) {
    draft = shown;
    const open = draft.state === "draft";
    const [words, tone] = STATES[draft.state];
    part("draft-title").textContent = draft.title;
    part("state").textContent = words;
    part("state").className = `chip ${tone}`;
    part("by").textContent = draft.model_id
      ? "A model wrote it from the sources and from reviewers' corrections." : "Nothing was found to write it from.";
    part("mark").hidden = !open;
    for (const name of ["title", "text", "classification", "region"]) {
      part(name).value = draft[name];
      part(name).disabled = !open;
    }
    part("actions").hidden = !open && draft.state !== "publishing";
    part("save").hidden = part("discard").hidden = !open;
    part("questions").replaceChildren(...draft.questions.map((question) => el("li", {}, question)));
    part("sources").replaceChildren(...(draft.sources.length ? draft.sources.map((source) => el("li", {},
      el("a", { href: `document?id=${encodeURIComponent(source.id)}` }, source.title), ` (${readers(source)})`)) : [el("li", {}, "none")]));
    part("corrections").textContent = `${draft.corrections} corrected answers of reviewers.`;
    if (draft.state !== "published") return;
    part("outcome").replaceChildren(el("div", { class: "notice good" },
      el("p", {}, "Published ", when(draft.published_at), ` for ${readers(draft)}. Answers can be made from it within minutes: `,
        el("a", { href: `document?id=${encodeURIComponent(draft.document_id)}` }, draft.document_id), "."),
      el("p", {}, `${draft.cases} of its questions are evaluation cases from now on. The next report shows whether the gap is closed.`)));
  }

  const written = () => Object.fromEntries(["title", "text", "classification", "region"].map((name) => [name, part(name).value]));
  const changed = () => Object.entries(written()).some(([name, value]) => value !== draft[name]);

  /** Store what stands in the form, if it differs, and return whether the server has it now. */
  async function save() {
    part("problem").replaceChildren();
    if (!part("draft").reportValidity()) return false;
    if (!changed()) return true;
    const mine = written();
    try {
      edit(await json(place(draft.id), { method: "PUT", body: { ...mine, version: draft.version }, signal }));
      const redacted = draft.text !== mine.text || draft.title !== mine.title;
      part("outcome").replaceChildren(el("p", { class: "notice good" }, redacted ? "Saved. The guardrails have hidden a part: look at the text again." : "Saved."));
      return !redacted;
    } catch (failure) {
      if (!signal.aborted) problem(part("problem"), failure);
      return false;
    }
  }

  function ask({ title, consequence, sure, style, run }) {
    const dialog = part("confirm");
    part("sure-title").textContent = title;
    part("consequence").textContent = consequence;
    part("refusal").hidden = true;
    part("sure").textContent = sure;
    part("sure").className = `button ${style}`;
    part("sure").disabled = false;
    part("back").onclick = () => dialog.close();
    part("sure").onclick = async () => {
      part("sure").disabled = true;
      part("refusal").hidden = true;
      try {
        const done = await run();
        dialog.close();
        edit(done);
        part("draft-title").tabIndex = -1;
        part("draft-title").focus();
      } catch (failure) {
        if (signal.aborted) return;
        part("refusal").textContent = failure.message;
        part("refusal").hidden = false;
        // Changed by somebody else, or no longer permitted: pressing again would not help.
        part("sure").disabled = [403, 404, 409, 422].includes(failure.status);
      }
    };
    dialog.showModal();
  }

  part("draft").addEventListener("submit", (submitted) => { submitted.preventDefault(); save(); });
  part("publish").addEventListener("click", async () => {
    if (draft.state === "draft" && !(await save())) return;
    const hidden = draft.sources.filter((source) => !includes(source, draft));
    part("narrower").hidden = !hidden.length;
    part("narrower").textContent = `These sources are for fewer people: ${hidden.map(({ title }) => title).join("; ")}. Look whether the text repeats what others should not read.`;
    ask({
      title: "Publish this document?", sure: "Publish", style: "primary",
      consequence: `“${draft.title}” can be found and read by ${readers(draft)}, and the assistant answers from it within minutes.`,
      run: () => json(`${place(draft.id)}/publication`, { body: { version: draft.version }, signal }),
    });
  });
  part("discard").addEventListener("click", () => {
    part("narrower").hidden = true;
    ask({
      title: "Discard this draft?", sure: "Discard", style: "danger",
      consequence: "Another draft can be made for the gap.",
      run: () => json(`${place(draft.id)}?version=${encodeURIComponent(draft.version)}`, { method: "DELETE", signal }),
    });
  });

  await tried();
}

const share = (part) => `${(100 * part).toFixed(part < 0.1 ? 1 : 0)} %`;
const link = (draft, words) => el("a", { href: `gaps?draft=${encodeURIComponent(draft.id)}` }, words);

function chip(state) {
  const [words, tone] = STATES[state];
  return el("span", { class: `chip ${tone}` }, words);
}

function readers({ classification, region }) {
  if (classification === "public") return "everybody who is signed in";
  return region ? `staff of the region ${region}` : "all staff";
}

/** Return whether everybody who may read a document may read this source too. */
function includes(source, document_) {
  if (source.classification === "public") return true;
  return document_.classification !== "public" && (!source.region || source.region === document_.region);
}
