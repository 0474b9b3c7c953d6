// A reviewer's queue: one captured answer after another, labelled with the keyboard or the mouse.
import { el } from "./dom.js";
import { json } from "./session.js";

export async function show(page, { signal }) {
  const $ = (id) => page.querySelector(`#${id}`);
  let queue = [], current = null;
  const call = (path, body) => json(`v1/review/tasks${path}`, { body, signal });

  function say(words) {
    $("done").textContent = words;
    $("done").hidden = false;
    $("task").hidden = $("label").hidden = true;
  }

  function complain(words) {
    $("message").textContent = words;
    $("message").hidden = !words;
  }

  function drawProgress({ mine, left, settled, disagreed, agreement }) {
    $("progress").hidden = false;
    $("bar").max = mine + left || 1;
    $("bar").value = mine;
    const agreed = agreement === null ? "" : ` · agreement α ${agreement.toFixed(2)}`;
    $("counts").textContent = `${mine} of ${mine + left} done · ${settled} settled, ${disagreed} disputed${agreed}`;
  }

  async function next() {
    current = queue.shift() ?? null;
    if (!current) return say("Nothing is left to review. Thank you.");
    draw(await call(`/${encodeURIComponent(current.task_id)}`));
  }

  function draw(task) {
    $("done").hidden = true;
    $("question").textContent = task.question;
    $("answer").textContent = task.answer;
    $("retrieved").replaceChildren(...task.retrieved.map(({ title, score, text, page }) => el("details", {},
      el("summary", {}, `${title} `, el("span", { class: "muted" }, `${page ? `page ${page}, ` : ""}similarity ${score}`)), el("p", {}, text))));
    if (!task.retrieved.length) $("retrieved").append(el("p", { class: "text" }, "Nothing was retrieved."));
    const layers = [
      ...task.guardrails.map((each) => `${each.direction} ${each.action}: ${each.reason}`),
      ...task.tools.map((each) => `${each.name} ${each.status}`),
    ];
    $("layers").replaceChildren(...(layers.length ? layers : ["nothing found, no tools"]).map((words) => el("li", { class: "chip" }, words)));
    $("why").hidden = !task.trace_id;
    $("trace").href = `why?trace=${task.trace_id}&at=${encodeURIComponent(task.started_at)}`;
    $("others").hidden = !task.adjudicates;
    $("labels").replaceChildren(...(task.labels ?? []).map((each) => {
      const said = [each.verdict, each.category, each.comment, each.corrected_answer && `should be: ${each.corrected_answer}`];
      return el("p", { class: "others" }, said.filter(Boolean).join(" · "));
    }));
    $("label").reset();
    complain("");
    choices();
    $("task").hidden = $("label").hidden = false;
    $("task").dataset.id = task.task_id;
    scrollTo(0, 0);
  }

  function choices() {
    const { verdict, category } = Object.fromEntries(new FormData($("label")));
    $("categories").hidden = $("correction").hidden = verdict !== "bad";
    $("send").disabled = !(verdict === "good" || (verdict === "bad" && category));
  }

  $("label").addEventListener("change", choices);
  $("label").addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    if ($("send").disabled) return;
    const { verdict, category } = Object.fromEntries(new FormData($("label")));
    const body = { verdict, comment: $("comment").value.trim() };
    if (verdict === "bad") Object.assign(body, { category, corrected_answer: $("corrected").value.trim() });
    $("send").disabled = true;
    try {
      await call(`/${encodeURIComponent(current.task_id)}/labels`, body);
      const rest = call("").then(({ progress }) => drawProgress(progress));
      await next();
      await rest;
    } catch (failure) {
      if (signal.aborted) return;
      complain(failure.message);
      choices();
    }
  });
  $("skip").addEventListener("click", () => {
    queue.push(current);
    next().catch((failure) => complain(failure.message));
  });
  document.addEventListener("keydown", (pressed) => {
    if ($("label").hidden) return;
    if (pressed.key === "Enter" && (pressed.ctrlKey || pressed.metaKey)) { pressed.preventDefault(); $("label").requestSubmit(); return; }
    if (pressed.key === "Escape") document.activeElement.blur();
    if (pressed.target.matches("textarea, select") || pressed.ctrlKey || pressed.metaKey || pressed.altKey) return;
    const pick = (name, index) => { $("label").elements[name][index].checked = true; choices(); };
    if (pressed.key === "g") pick("verdict", 0);
    else if (pressed.key === "b") pick("verdict", 1);
    else if (/^[1-5]$/.test(pressed.key) && !$("categories").hidden) pick("category", Number(pressed.key) - 1);
    else if (pressed.key === "e" && !$("correction").hidden) { pressed.preventDefault(); $("corrected").focus(); }
    else if (pressed.key === "c") { pressed.preventDefault(); $("comment").focus(); }
    else if (pressed.key === "s") $("skip").click();
  }, { signal });

  const { tasks, progress } = await call("");
  queue = tasks;
  drawProgress(progress);
  await next();
}
