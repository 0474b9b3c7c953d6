// The home page: what this person may use, what to try there, and how it stands.
import { api, json } from "./session.js";
import { el, problem, when } from "./dom.js";

const SECONDS = 60; // between looks at what has changed

// What each card is for, what to try, and where it leads: a page of ours, an address made on click, or a link from the server.
const CARDS = {
  chat: {
    title: "Chat", page: "chat", go: "Ask something",
    what: "Ask the assistant. Guardrails check every message, and the policies decide what it may look up or do for you.",
    state: (_, welcome) => welcome?.questions.length && [el("p", {}, "Try: ", el("q", {}, welcome.questions[0]))],
  },
  approvals: {
    title: "Approvals", page: "approvals", go: "Open the inbox",
    what: "Calls that someone may not make alone, such as those above a limit, wait here for a person who may.",
    attempt: "Request something above your limit in the chat, and let a colleague decide it.",
    state: ({ waiting }) => [el("p", {}, chip(waiting ? "warn" : "good", many(waiting, "call")), " waiting for your decision.")],
  },
  review: {
    title: "Review", page: "review", go: "Review answers",
    what: "Judge captured answers, after redaction. Two people label each, and a third settles what they disagree on.",
    attempt: "Label a few answers with the keys g and b.",
    state: ({ left, settled, disagreed, agreement }) => [
      el("p", {}, chip(left ? "warn" : "good", many(left, "task")), " left for you. ", `${settled} settled and ${disagreed} disputed among all.`),
      el("p", {}, agreement === null ? "Too few labels to tell how far reviewers agree." : `Reviewers agree by α = ${agreement.toFixed(2)} (1 is always, 0 is chance).`),
    ],
  },
  gaps: {
    title: "Gaps", page: "gaps", go: "Close a gap",
    what: "Questions that no document answers. Have a document drafted, correct it, and publish it.",
    attempt: "Draft a document for the largest gap, and read what its questions ask.",
    state: ({ gaps, untouched, drafts }) => [
      el("p", {}, chip(untouched ? "warn" : "good", many(gaps, "gap")), ` in the last report, ${many(untouched, "gap")} without a draft.`),
      drafts > 0 && el("p", {}, `${many(drafts, "draft")} to finish.`),
    ],
  },
  playground: {
    title: "Playground", page: "playground", go: "Try a prompt",
    what: "Try a prompt on a test case beside the one that serves, and save it as a new version.",
    attempt: "Ask for shorter answers, and compare.",
    state: prompt,
  },
  mlflow: {
    title: "MLflow", made: "v1/home/mlflow", go: "Open MLflow",
    what: "Prompt versions, experiments, evaluations and their traces.",
    attempt: "Compare the runs of the gate's last decision.",
    state: prompt,
  },
  dashboards: {
    title: "Dashboards and alerts", go: "Open Grafana",
    what: "Service, safety and quality over time, and what is alarming now.",
    attempt: ({ link }) => (link ? "Send a message that the guardrails block, and find it under Safety." : "This deployment has no Grafana, which observability.grafana turns on."),
    state: alerts,
  },
  report: {
    title: "What people ask", made: "v1/home/report", go: "Open the report",
    what: "The last analysis of the captured questions: topics, what no document covers, and whether that changes.",
    attempt: "See which questions are far from every document: they are work for the knowledge base.",
    state: drift,
  },
  traces: {
    title: "Traces", go: "Open X-Ray",
    what: "Each request as a waterfall of its guardrails, decisions, tools and model calls.",
    attempt: "Choose “Why?” under an answer, in a review task or in the report to see its trace.",
  },
  records: {
    title: "Captured records", go: "Query them in Athena",
    what: "Each answer as it was captured, after redaction, for SQL.",
    state: (_, __, card) => [el("p", {}, "Table ", el("code", {}, card.table))],
  },
};

export async function show(page, { person, signal }) {
  const part = (id) => page.querySelector(`#${id}`);
  const plots = plotsOf(signal);
  let shown = "";

  part("as-whom").textContent = `Signed in as ${person.name}${person.groups.length ? `, of the groups ${person.groups.join(", ")}` : ""}.`;
  const welcome = await json("v1/welcome", { signal }).catch(() => null);
  if (signal.aborted) return;
  if (welcome) part("greeting").textContent = welcome.title;

  async function load() {
    const { cards } = await json("v1/home", { signal });
    const known = cards.filter(({ name }) => name in CARDS);
    part("problem").replaceChildren();
    part("loading").hidden = true;
    part("nothing").hidden = known.length > 0;
    const seen = JSON.stringify(known);
    if (seen === shown) return;
    shown = seen;
    part("cards").replaceChildren(...known.map((card) => drawn(card, welcome, plots)));
  }

  async function tried() {
    try { await load(); } catch (failure) {
      if (signal.aborted) return;
      part("loading").hidden = true;
      problem(part("problem"), failure, tried);
    }
  }

  await tried();
  const timer = setInterval(() => { if (document.visibilityState === "visible") tried(); }, SECONDS * 1000);
  signal.addEventListener("abort", () => clearInterval(timer));
}

function drawn(card, welcome, plots) {
  const { title, what, attempt, state, page, made, go } = CARDS[card.name];
  const unread = card.state?.unread;
  const said = unread
    ? [el("p", {}, chip("warn", "not known"), ` Its state could not be read: ${unread}.`)]
    : state?.(card.state, welcome, card, plots);
  return el("section", { class: "card", "aria-labelledby": `card-${card.name}`, "data-card": card.name },
    el("h2", { id: `card-${card.name}` }, title),
    el("p", {}, what),
    attempt && el("p", { class: "muted" }, typeof attempt === "string" ? attempt : attempt(card)),
    said && el("div", { class: "state" }, said),
    page && el("p", { class: "go" }, el("a", { class: "button", href: page }, go)),
    made && el("p", { class: "go" }, opener(made, go)),
    card.link && el("p", { class: "go" }, el("a", { class: "button", href: card.link, target: "_blank", rel: "noopener noreferrer" }, go, newTab())));
}

/** Return a button that asks the server for an address, which is good for minutes, and opens it in a new tab. */
function opener(path, go) {
  const failed = el("span", { class: "notice bad", role: "alert", hidden: true });
  const button = el("button", { type: "button", class: "button", onclick: open }, go, newTab());
  async function open() {
    failed.hidden = true;
    button.disabled = true;
    const tab = window.open("about:blank"); // now, while the click permits it
    try {
      const { url } = await json(path, { method: "POST" });
      if (tab) { tab.opener = null; tab.location.replace(url); } else location.assign(url);
    } catch (failure) {
      tab?.close();
      failed.textContent = failure.message;
      failed.hidden = false;
    }
    button.disabled = false;
  }
  return [button, " ", failed];
}

const newTab = () => el("span", { class: "visually-hidden" }, " in a new tab");
const chip = (tone, words) => el("span", { class: `chip ${tone}` }, words);
const many = (count, thing) => `${count === 0 ? "no" : count} ${thing}${count === 1 ? "" : "s"}`;

function prompt({ serving, move, gate }) {
  const said = [el("p", {}, serving ? `Prompt version ${serving} serves.` : "The packaged prompt serves: no version has been promoted.")];
  if (move) {
    const what = { promote: "Promoted", rollback: "Rolled back" }[move.action] ?? move.action;
    said.push(el("p", {}, `${what} by ${move.by}, `, when(move.at), `: ${move.reason}`));
  }
  if (gate) {
    const promoted = gate.decision === "promote";
    said.push(el("p", {}, chip(promoted ? "good" : "bad", promoted ? "promoted" : "refused"),
      ` The gate on ${gate.candidate}, ${gate.cases} cases, `, when(gate.at), gate.reasons && `: ${gate.reasons}`));
  } else said.push(el("p", {}, "The gate has decided nothing yet."));
  return said;
}

function alerts({ firing }) {
  if (!firing.length) return [el("p", {}, chip("good", "nothing is firing"))];
  return [
    el("p", {}, chip("bad", `${firing.length} firing`)),
    el("ul", {}, firing.map(({ name, severity, summary, since }) => el("li", {}, `${summary || name} (${severity}, since `, when(since), ")"))),
  ];
}

function drift({ verdict, alert, sentence, reason, rows, window: span }, _, __, plots) {
  if (!verdict) return [el("p", {}, "There is no report yet: the analysis runs once a day.")];
  const tone = alert ? "bad" : verdict === "usual" ? "good" : "warn";
  return [
    el("p", {}, chip(tone, verdict), ` ${sentence}`),
    reason && el("p", { class: "muted" }, reason),
    plots(span),
    el("p", { class: "muted" }, `${rows} questions, ${span}`),
  ];
}

/** Return a function that makes the image of a report's plot, which needs the token and so is fetched. */
function plotsOf(signal) {
  const addresses = new Map();
  signal.addEventListener("abort", () => addresses.forEach((address) => URL.revokeObjectURL(address)));
  return (span) => {
    const image = el("img", { alt: "Share of questions far from every topic, day by day", hidden: true });
    const fill = (address) => { image.src = address; image.hidden = false; };
    if (addresses.has(span)) fill(addresses.get(span));
    else {
      api("v1/home/plot", { signal }).then(async (answer) => {
        if (!answer.ok) return;
        addresses.set(span, URL.createObjectURL(await answer.blob()));
        fill(addresses.get(span));
      }).catch(() => null);
    }
    return image;
  };
}
