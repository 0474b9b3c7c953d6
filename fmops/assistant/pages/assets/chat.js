// The conversation: streamed answers with their sources, what was decided about them, and what waits for approval.
import { dollars, el } from "./dom.js";
import { markdown } from "./markdown.js";
import { notices } from "./notices.js";
import { api, ApiError, json, refusal } from "./session.js";

const POLL_SECONDS = 4;
const MEANWHILE = "You will read the outcome here, and can go on in the meantime.";

export async function show(page, { person, signal, query }) {
  const part = (id) => page.querySelector(`#${id}`);
  const kept = new Kept(person);
  let answering = null;
  // Nobody's typing waits for the greeting.
  const greeted = json("v1/welcome", { signal });

  part("engineer").checked = localStorage.getItem("fmops.engineer") === "yes";
  page.firstElementChild.classList.toggle("engineers", part("engineer").checked);
  part("engineer").addEventListener("change", ({ target }) => {
    localStorage.setItem("fmops.engineer", target.checked ? "yes" : "no");
    page.firstElementChild.classList.toggle("engineers", target.checked);
  });
  part("question").value = query.get("ask") ?? kept.draft;
  part("question").addEventListener("input", ({ target }) => { kept.draft = target.value; });
  part("question").addEventListener("keydown", (pressed) => {
    if (pressed.key === "Enter" && !pressed.shiftKey && !pressed.isComposing) { pressed.preventDefault(); part("ask").requestSubmit(); }
  });
  part("ask").addEventListener("submit", (submitted) => { submitted.preventDefault(); send(part("question").value.trim()); });
  part("stop").addEventListener("click", () => answering?.abort());
  part("new").addEventListener("click", () => { answering?.abort(); kept.restart(); part("log").replaceChildren(); began(); part("question").focus(); });
  signal.addEventListener("abort", () => answering?.abort());

  const again = { rate, copy, poll };
  for (const turn of kept.turns) draw(part("log"), turn, again);
  began();
  part("log").lastElementChild?.scrollIntoView({ block: "end" });
  if (!matchMedia("(pointer: coarse)").matches) part("question").focus();
  const { greeting, questions } = await greeted;
  part("greeting").textContent = greeting;
  part("questions").replaceChildren(...questions.map((question) => el("li", {},
    el("button", { type: "button", class: "button", onclick: () => send(question) }, question))));

  function began() { part("start").hidden = kept.turns.length > 0; }

  async function send(content) {
    if (!content || answering) return;
    answering = new AbortController();
    part("question").value = kept.draft = "";
    part("start").hidden = true;
    part("send").hidden = true;
    part("stop").hidden = false;
    const asked = draw(part("log"), { role: "user", content }, again);
    const turn = { role: "assistant", content: "" };
    const box = draw(part("log"), turn, again);
    box.words.replaceChildren(el("span", { class: "thinking" }, "Checking and thinking …"));
    box.node.scrollIntoView({ block: "end" });
    try {
      await answer(content, turn, box);
      kept.add({ role: "user", content }, turn);
      box.finish(turn);
      box.node.scrollIntoView({ block: "nearest" });
    } catch (failure) {
      if (signal.aborted) return;
      const stopped = failure.name === "AbortError";
      if (stopped && turn.content) {
        box.notice("You stopped this answer.", false);
      } else {
        // What was asked is not lost: it goes back to where it was written.
        asked.node.remove();
        box.words.replaceChildren();
        part("question").value = kept.draft = content;
        box.notice(stopped ? "You stopped this answer. Your message is below." : `${failure.message} Your message is kept below.`, !stopped);
      }
    } finally {
      answering = null;
      part("send").hidden = false;
      part("stop").hidden = true;
      if (!signal.aborted) part("question").focus();
    }
  }

  async function answer(content, turn, box) {
    const messages = [...kept.history(), { role: "user", content }];
    const { model } = await greeted;
    const response = await api("v1/chat/completions", {
      body: { model, messages, stream: true, metadata: { session_id: kept.session } }, signal: answering.signal,
    });
    budget(part("budget"), response.headers);
    if (!response.ok) throw refusal(response, await response.json().catch(() => ({})));
    let drawing = false;
    for await (const event of events(response)) {
      if (event.error) throw new ApiError(200, event.error.code, event.error.message);
      const { delta, finish_reason } = event.choices[0];
      turn.content += delta.content ?? "";
      if (delta.annotations) turn.citations = delta.annotations.map((each) => each.url_citation);
      if (delta.content && !drawing) {
        drawing = true;
        requestAnimationFrame(() => { drawing = false; if (turn.content && !turn.event) box.words.replaceChildren(...markdown(turn.content)); });
      }
      if (finish_reason) turn.event = event;
    }
    if (!turn.event) throw new ApiError(0, "connection", "The connection was lost before the answer was complete.");
  }

  async function rate(interaction, rating, place) {
    try {
      await json("v1/feedback", { body: { interaction_id: interaction, rating } });
      place.textContent = "Thank you for telling us.";
    } catch (failure) { place.textContent = failure.message; }
  }

  async function copy(words, button) {
    await navigator.clipboard.writeText(words);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  // Ask for the outcome until somebody has decided, or until the person leaves.
  async function poll(approval, place) {
    while (!signal.aborted) {
      const call = await json(`v1/approvals/${encodeURIComponent(approval.id)}`, { signal }).catch(() => null);
      if (call && ["approved", "rejected"].includes(call.status)) {
        const by = call.decided_by ? ` by ${call.decided_by}` : "";
        place.className = `notice ${call.status === "approved" ? "good" : "bad"}`;
        place.replaceChildren(el("p", {}, `${call.title || approval.tool}: ${call.status}${by}.`), ...(call.answer ? markdown(call.answer) : []));
        return;
      }
      if (call) place.textContent = `Waiting for approval: ${call.title || approval.tool}. ${MEANWHILE}`;
      await new Promise((resolve) => { setTimeout(resolve, POLL_SECONDS * 1000); });
    }
  }
}

/** What this tab keeps for one person, so that a reload loses nothing. */
class Kept {
  constructor(person) {
    this.key = `fmops.chat.${person.id}`;
    const kept = JSON.parse(sessionStorage.getItem(this.key) ?? "null");
    Object.assign(this, { session: crypto.randomUUID(), turns: [], _draft: "" }, kept);
  }

  get draft() { return this._draft; }

  set draft(words) { this._draft = words; this.save(); }

  add(...turns) { this.turns.push(...turns); this.save(); }

  restart() { Object.assign(this, { session: crypto.randomUUID(), turns: [] }); this.save(); }

  save() {
    const kept = () => JSON.stringify({ session: this.session, turns: this.turns, _draft: this._draft });
    // A tab keeps some megabytes at most, so the oldest turns go first.
    for (;;) {
      try { return sessionStorage.setItem(this.key, kept()); } catch (full) { if (this.turns.splice(0, 2).length === 0) throw full; }
    }
  }

  /** The turns that the model may read again: blocked ones are left out, with their questions. */
  history() {
    const pairs = [];
    for (let at = 0; at + 1 < this.turns.length; at += 2) {
      const [asked, answered] = [this.turns[at], this.turns[at + 1]];
      const { choices, budget_exceeded } = answered.event;
      if (choices[0].finish_reason !== "content_filter" && !budget_exceeded && answered.content) {
        pairs.push({ role: "user", content: asked.content }, { role: "assistant", content: answered.content });
      }
    }
    return pairs;
  }
}

function draw(log, turn, { rate, copy, poll }) {
  const words = el("div", { class: "words" });
  const node = el("article", { class: `turn ${turn.role}`, "aria-label": turn.role === "user" ? "You" : "Assistant" }, words);
  const box = { node, words, notice, finish };
  log.append(node);
  if (turn.role === "user") words.textContent = turn.content;
  else if (turn.event) finish(turn);
  return box;

  function notice(sentence, bad) { return node.appendChild(el("p", { class: bad ? "notice bad" : "notice" }, sentence)); }

  function finish({ content, citations, event }) {
    words.replaceChildren(...markdown(content));
    for (const { sentence, bad } of notices(event)) notice(sentence, bad);
    for (const approval of event.approvals) poll(approval, node.appendChild(el("div", { class: "notice", role: "status" }, `Waiting for approval. ${MEANWHILE}`)));
    const cited = (citations ?? []).map(shown);
    if (cited.length) node.append(el("div", { class: "sources" }, "Documents it read: ", el("ul", {}, cited.map((link) => el("li", {}, link)))));
    const thanks = el("span", { role: "status" });
    const copying = el("button", { type: "button", class: "button", onclick: () => copy(content, copying) }, "Copy");
    const rating = (value, name) => el("button", { type: "button", class: "button", onclick: () => rate(event.id, value, thanks) }, name);
    node.append(el("div", { class: "actions" }, copying, rating("up", "Helpful"), rating("down", "Not helpful"),
      event.trace_id && el("a", { class: "button", href: `why?trace=${event.trace_id}` }, "Why?"), thanks));
    node.append(engineering(event));
  }
}

// The link to a cited document's page here, from the citation's address in the API: /v1/documents/<id>?page=<n>.
function shown({ title, url }) {
  const { pathname, searchParams } = new URL(url, location.href);
  const id = decodeURIComponent(pathname.replace(/^\/v1\/documents\//, "")), number = searchParams.get("page");
  return el("a", { href: `document?id=${encodeURIComponent(id)}${number ? `&page=${number}` : ""}` }, number ? `${title}, page ${number}` : title);
}

function engineering(event) {
  const { prompt_tokens, completion_tokens } = event.usage ?? {};
  const chips = [
    ...event.guardrails.map((each) => [`${each.direction} ${each.action}: ${each.reason}`, { block: "bad", redact: "warn" }[each.action]]),
    ...event.tools.map((each) => [`${each.name} ${each.status}`, { denied: "bad", error: "bad", blocked: "bad", success: "good" }[each.status]]),
    ...event.decisions.map((each) => [`${each.action} ${each.decision}: ${each.policies.join(", ") || each.reason}`, each.decision === "DENY" ? "bad" : "good"]),
    [`${event.choices[0].finish_reason}`], [`prompt ${event.prompt}`], [`${prompt_tokens ?? 0} + ${completion_tokens ?? 0} tokens`],
    [dollars(event.cost_usd)], [`trace ${event.trace_id}`], [event.id],
  ];
  return el("div", { class: "engineering" }, el("ul", { class: "chips", "aria-label": "Decisions and figures" },
    chips.map(([words, kind = ""]) => el("li", { class: `chip ${kind}` }, words))));
}

// Say what is left of the budget, as the headers of the last answer have it.
function budget(place, headers) {
  const said = [];
  const used = headers.get("x-budget-used-percent"), left = headers.get("x-ratelimit-remaining-requests");
  if (used !== null) said.push(`${100 - used} % of ${headers.get("x-budget-name")} is left`);
  if (left !== null) said.push(`${left} of ${headers.get("x-ratelimit-limit-requests")} requests are left this minute`);
  place.textContent = said.join(" · ");
  place.classList.toggle("low", Number(used) >= 80 || left === "0");
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const each of parts) if (each.startsWith("data: ") && each !== "data: [DONE]") yield JSON.parse(each.slice(6));
  }
}
