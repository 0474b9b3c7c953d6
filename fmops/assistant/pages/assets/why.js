// Shows a request's trace: the story in plain words, the decisions, and every step in time. It holds no content.
import { dollars, duration, el, problem, text, when } from "./dom.js";
import { json } from "./session.js";

const WAIT_SECONDS = 30; // how long to wait for spans, which are sent in batches
const PAUSE_SECONDS = 3;
const KINDS = {
  request: "Request", model: "Model", guardrail: "Guardrail", authorization: "Authorization", tool: "Tool",
  retrieval: "Search", aws: "AWS", other: "Step",
};
const TEXTS = {
  input: "the question", output: "the answer", tool_arguments: "tool arguments", tool_results: "a tool's result",
  retrieved: "a document",
};
const DONE = {
  allow: ["passed", "good"], redact: ["redacted", "warn"], flag: ["flagged", "warn"], block: ["blocked", "bad"],
  ALLOW: ["permitted", "good"], DENY: ["denied", "bad"],
};

/** Show the trace that the address names, or a form that asks for one. */
export async function show(page, { query, signal, navigate }) {
  const part = (id) => page.querySelector(`#${id}`);
  const trace = plain(query.get("trace") ?? "");
  part("find").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    navigate(`why?trace=${encodeURIComponent(plain(part("trace").value))}`);
  });
  if (!trace) {
    part("find").hidden = false;
    part("state").hidden = true;
    return;
  }
  const look = async (days) => {
    part("problem").replaceChildren();
    const asked = new URLSearchParams(query.get("at") && !days ? { at: query.get("at") } : days ? { days } : {});
    try {
      await wait(part, `v1/traces/${encodeURIComponent(trace)}${asked.size ? `?${asked}` : ""}`, signal);
    } catch (failure) {
      if (signal.aborted || failure.name === "AbortError") return;
      part("state").hidden = true;
      if (failure.code === "trace_not_arrived") missing(part("problem"), look);
      else problem(part("problem"), failure, ["trace_not_found", "trace_expired"].includes(failure.code) ? null : () => look(days));
      part("find").hidden = failure.code !== "trace_not_found";
    }
  };
  await look();
}

// Asks until the trace is complete, or until too long has passed; parts that have arrived are shown at once.
async function wait(part, path, signal) {
  const ends = Date.now() + WAIT_SECONDS * 1000;
  say(part, "Reading the trace …");
  for (;;) {
    let late = null;
    try {
      const trace = await json(path, { signal });
      fill(part, trace);
      if (trace.complete) return say(part, "");
    } catch (failure) {
      if (failure.code !== "trace_not_arrived" && failure.code !== "traces_unavailable") throw failure;
      late = failure;
    }
    const left = Math.round((ends - Date.now()) / 1000);
    if (left <= 0) {
      if (late) throw late;
      return say(part, "Parts of this trace have not arrived. What is here is shown.");
    }
    const waits = late?.code === "traces_unavailable" ? "The traces cannot be read at the moment." : "The trace has not arrived yet, since steps are sent in batches.";
    const what = late ? waits : "More steps are still arriving.";
    say(part, `${what} Trying again for another ${left} s …`);
    await pause(Math.max(PAUSE_SECONDS, Number(late?.retryAfter ?? 0)) * 1000, signal);
  }
}

function say(part, sentence) {
  part("state").textContent = sentence;
  part("state").hidden = !sentence;
}

function missing(place, look) {
  place.replaceChildren(el("div", { class: "notice", role: "alert" },
    el("p", {}, `Nothing of this trace arrived within ${WAIT_SECONDS} seconds. If the request is older than a day, look further back; if it is new, the telemetry may be late, or the collector kept only a sample.`),
    el("div", { class: "row" },
      el("button", { type: "button", class: "button", onclick: () => look() }, "Try again"),
      el("button", { type: "button", class: "button", onclick: () => look("30") }, "Look 30 days back"))));
}

function fill(part, trace) {
  part("shown").hidden = false;
  part("facts").replaceChildren(
    el("li", { class: "chip" }, when(trace.started_at)),
    el("li", { class: "chip" }, duration(trace.duration_ms)),
    el("li", { class: `chip ${trace.complete ? "good" : "warn"}` }, trace.complete ? "complete" : "not complete yet"),
    el("li", { class: "chip" }, "trace ", el("code", {}, trace.trace_id)),
    trace.interaction_id && el("li", { class: "chip" }, "interaction ", el("code", {}, trace.interaction_id)),
    trace.console_url && el("li", { class: "chip" }, el("a", { href: trace.console_url, target: "_blank", rel: "noreferrer" }, "Open in the AWS console")));
  part("story").replaceChildren(...trace.story.map((sentence) => el("li", {}, coded(sentence))));
  part("totals").replaceChildren(...totals(trace.totals).map(([label, value]) => el("div", {}, el("dt", {}, label), el("dd", {}, value))));
  part("no-decisions").hidden = trace.decisions.length > 0;
  part("decisions").hidden = trace.decisions.length === 0;
  part("decided").replaceChildren(...trace.decisions.map(decided));
  const focused = document.activeElement?.closest("details")?.dataset.span;
  const open = new Set([...part("steps").querySelectorAll("details[open]")].map((each) => each.dataset.span));
  part("steps").replaceChildren(...ordered(trace.spans).map(([span, depth]) => step(span, depth, trace.duration_ms, open)));
  if (focused) part("steps").querySelector(`[data-span="${CSS.escape(focused)}"] > summary`)?.focus();
}

const totals = (sums) => [
  ["Input tokens", sums.input_tokens.toLocaleString()],
  ["Output tokens", sums.output_tokens.toLocaleString()],
  ["Cost", dollars(sums.cost_usd)],
  ["Model calls", String(sums.model_calls)],
  ["Guardrail checks", String(sums.guardrail_checks)],
  ["Authorizations", String(sums.decisions)],
  ["Tool calls", String(sums.tool_calls)],
];

function decided(made) {
  const isCheck = made.kind === "guardrail";
  const waits = made.reason === "needs_approval";
  const [word, look] = waits ? ["waits for approval", "warn"] : DONE[isCheck ? made.action : made.decision] ?? [made.action, ""];
  const about = isCheck
    ? [TEXTS[made.direction] ?? made.direction]
    : [el("code", {}, made.action), made.resource_type && ` on ${made.resource_type}`];
  const by = (isCheck ? [made.detector] : made.policies).filter(Boolean).map((name) => el("code", { class: "by" }, name));
  const because = made.reason && made.decision !== "ALLOW" ? made.reason.replaceAll("_", " ") : "–";
  return el("tr", {},
    el("th", { scope: "row" }, about), el("td", {}, el("span", { class: `chip ${look}` }, word)),
    el("td", {}, by.length ? by : "–"), el("td", {}, because),
    el("td", { class: "number" }, String(made.count)), el("td", { class: "number" }, duration(made.duration_ms)));
}

// Returns the spans with their depth, each below its parent. A span whose parent has not arrived stands at the top.
function ordered(spans) {
  const known = new Set(spans.map((span) => span.span_id));
  const below = Map.groupBy(spans, (span) => (known.has(span.parent_id) && span.parent_id !== span.span_id ? span.parent_id : ""));
  const seen = new Set();
  const rows = [];
  const add = (id, depth) => {
    for (const span of below.get(id) ?? []) {
      if (seen.has(span.span_id)) continue;
      seen.add(span.span_id);
      rows.push([span, depth]);
      add(span.span_id, depth + 1);
    }
  };
  add("", 0);
  for (const span of spans) if (!seen.has(span.span_id)) { seen.add(span.span_id); rows.push([span, 0]); add(span.span_id, 1); }
  return rows;
}

function step(span, depth, whole, open) {
  const details = Object.entries(span.details);
  const row = el("tr", { class: `kind-${span.kind}${span.error ? " failed" : ""}` },
    el("th", { scope: "row" }, el("div", { class: "cell" },
      el("details", { "data-span": span.span_id, open: open.has(span.span_id) },
        el("summary", {}, el("span", { class: "kind" }, KINDS[span.kind] ?? span.kind), " ", coded(span.summary),
          span.error && [" ", el("span", { class: "chip bad" }, "failed")]),
        el("dl", {},
          el("dt", {}, "span"), el("dd", {}, span.name),
          el("dt", {}, "began after"), el("dd", {}, duration(span.start_ms)),
          details.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, [value].flat().join(", ") || "–")]))),
      el("div", { class: "track", "aria-hidden": "true" }, el("div", { class: "stretch" })))),
    el("td", { class: "number" }, duration(span.duration_ms)));
  const total = Math.max(whole, 1);
  row.style.setProperty("--depth", String(Math.min(depth, 6)));
  row.style.setProperty("--from", `${(100 * span.start_ms) / total}%`);
  row.style.setProperty("--length", `${(100 * span.duration_ms) / total}%`);
  return row;
}

// A sentence's names stand between backticks.
const coded = (sentence) => sentence.split("`").map((piece, index) => (index % 2 ? el("code", {}, piece) : text(piece)));

// Trace ids are written in two ways: X-Ray's has hyphens and a version.
const plain = (id) => id.trim().toLowerCase().replace(/^1-/, "").replaceAll("-", "");

const pause = (milliseconds, signal) => new Promise((resolve, reject) => {
  const left = () => { clearTimeout(timer); reject(new DOMException("left", "AbortError")); };
  const timer = setTimeout(() => { signal.removeEventListener("abort", left); resolve(); }, milliseconds);
  signal.addEventListener("abort", left, { once: true });
});
