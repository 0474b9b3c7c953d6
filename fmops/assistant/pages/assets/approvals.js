// The approvals inbox: what waits for this person, what they requested, and what became of it.
import { json } from "./session.js";
import { el, problem, when } from "./dom.js";

const SECONDS = 15; // between looks at what has changed
const STATES = {
  waiting: ["waiting", "warn"],
  running: ["being decided now", "warn"],
  approved: ["approved", "good"],
  rejected: ["refused", "bad"],
};
const VERDICTS = {
  approve: {
    question: "Approve this?", sure: "Approve", style: "primary",
    consequence: "The call runs at once, with your rights and in your name. It cannot be taken back here.",
  },
  reject: {
    question: "Refuse this?", sure: "Refuse", style: "danger",
    consequence: "The call does not run, and whoever requested it is told that it was refused.",
  },
};

export async function show(page, { signal }) {
  const part = (id) => page.querySelector(`#${id}`);
  let shown = ""; // what the lists were drawn from, so that an unchanged inbox is not drawn again under the reader

  async function load() {
    const { data } = await json("v1/approvals", { signal });
    part("problem").replaceChildren();
    part("loading").hidden = true;
    part("lists").hidden = false;
    const seen = JSON.stringify(data);
    if (seen === shown) return;
    shown = seen;
    const open = data.filter(({ status }) => status === "waiting" || status === "running");
    fill("to-decide", open.filter((call) => call.may_decide), "Nothing waits for your decision.");
    fill("asked", open.filter((call) => !call.may_decide), "Nothing that you requested is waiting.");
    fill("decided", data.filter((call) => !open.includes(call)), "Nothing was decided for you or by you in the last three days.");
  }

  async function tried() {
    try { await load(); } catch (failure) {
      if (signal.aborted) return;
      part("loading").hidden = true;
      problem(part("problem"), failure, tried);
    }
  }

  const fill = (id, calls, empty) => part(id).replaceChildren(
    ...(calls.length ? calls.map((call) => card(call, ask)) : [el("p", { class: "empty" }, empty)]));

  function ask(call, decision) {
    const dialog = part("confirm"), { question, sure, consequence, style } = VERDICTS[decision];
    part("question").textContent = question;
    part("consequence").textContent = consequence;
    part("again").replaceChildren(...facts({ Call: call.title || call.tool, "Requested by": call.requested_by }));
    part("refusal").hidden = true;
    part("sure").textContent = sure;
    part("sure").className = `button ${style}`;
    part("sure").disabled = false;
    part("sure").onclick = () => decide(call, decision);
    part("back").onclick = () => dialog.close();
    dialog.showModal();
  }

  async function decide(call, decision) {
    part("sure").disabled = true;
    part("sure").textContent = "One moment …";
    part("refusal").hidden = true;
    try {
      const decided = await json(`v1/approvals/${encodeURIComponent(call.id)}`, { body: { decision }, signal });
      part("confirm").close();
      tell(decided);
    } catch (failure) {
      if (signal.aborted) return;
      part("refusal").textContent = failure.message;
      part("refusal").hidden = false;
      part("sure").textContent = VERDICTS[decision].sure;
      // Decided by someone else, or no longer permitted: pressing again would not help.
      part("sure").disabled = [403, 404, 409].includes(failure.status);
    }
    await tried();
  }

  function tell(decided) {
    const approved = decided.status === "approved";
    const notice = el("div", { class: approved ? "notice good" : "notice", tabindex: "-1" },
      el("p", {}, `You ${approved ? "approved" : "refused"}: ${decided.title || decided.tool}.`),
      decided.answer && el("p", {}, `The assistant said: ${decided.answer}`));
    part("outcome").replaceChildren(notice);
    notice.focus();
  }

  await tried();
  const timer = setInterval(() => {
    if (document.visibilityState === "visible" && !part("confirm").open) tried();
  }, SECONDS * 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function card(call, ask) {
  const [state, tone] = STATES[call.status] ?? [call.status, ""];
  const open = call.status === "waiting";
  return el("article", { class: "card", "data-approval": call.id },
    el("div", { class: "head" }, el("h3", {}, call.title || call.tool), el("span", { class: `chip ${tone}` }, state)),
    el("dl", {},
      ...facts({
        "Requested by": call.mine ? `${call.requested_by} (you)` : call.requested_by,
        "Requested": when(call.requested_at),
        ...(open ? { Expires: when(call.expires_at) } : { "Decided by": call.decided_by, Decided: call.decided_at && when(call.decided_at) }),
        ...(open && call.facts),
      })),
    open && why(call),
    call.answer && el("p", { class: "answer" }, el("strong", {}, "The assistant: "), call.answer),
    !open && Object.keys(call.facts).length > 0 && el("details", {}, el("summary", {}, "The facts when it was requested"), el("dl", {}, ...facts(call.facts))),
    open && (call.may_decide
      ? el("p", { class: "actions" },
        el("button", { type: "button", class: "button primary", "aria-label": `Approve: ${call.title}`, onclick: () => ask(call, "approve") }, "Approve"),
        el("button", { type: "button", class: "button danger", "aria-label": `Refuse: ${call.title}`, onclick: () => ask(call, "reject") }, "Refuse"))
      : el("p", { class: "muted" }, call.why_not)),
  );
}

function why(call) {
  return el("div", {},
    el("p", {}, `No policy permits ${call.requested_by} to make this call alone. It may wait for someone who may:`),
    el("ul", {}, call.policies.map(({ name, description }) =>
      el("li", {}, description || name, description && el("span", { class: "muted" }, ` (${name})`)))));
}

function facts(named) {
  return Object.entries(named).filter(([, value]) => value).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
}
