// Prompts and models tried side by side on golden cases.
import { dollars, el } from "./dom.js";
import { json } from "./session.js";

const SHOWN = { block: "bad", denied: "bad", blocked: "bad", error: "bad" };

export async function show(page, { signal }) {
  const $ = (id) => page.querySelector(`#${id}`);
  const call = (path, body) => json(`v1/playground${path}`, { body, signal });
  const { models, cases, ...rest } = await call("");
  let { prompts } = rest;
  const variants = ["A", "B"].map((name) => variant(name));

  function variant(name) {
    const label = (what) => `${what} of variant ${name}`;
    const made = {
      version: el("select", { class: "version", "aria-label": label("Prompt version") }),
      model: el("select", { class: "model", "aria-label": label("Model") }, models.map((each) => el("option", {}, each))),
      template: el("textarea", { rows: 12, "aria-label": label("Prompt"), spellcheck: "false", maxlength: 20000 }),
      why: el("input", { class: "why", type: "text", placeholder: "What this version changes", "aria-label": label("What is changed by this version"), maxlength: 500 }),
      save: el("button", { type: "button", class: "button save" }, "Save as a new version"),
      saved: el("p", { class: "muted saved", role: "status" }),
      show(version) {
        made.version.value = version;
        const found = prompts.find((each) => each.version === version);
        if (found) made.template.value = found.template;
      },
    };
    made.version.addEventListener("change", () => made.show(made.version.value));
    made.template.addEventListener("input", () => {
      made.version.value = prompts.find((each) => each.template === made.template.value)?.version ?? "draft";
    });
    made.save.addEventListener("click", () => save(made));
    $("variants").append(el("section", { class: "variant card" }, el("h2", {}, `Variant ${name}`),
      el("div", { class: "row" }, made.version, made.model), made.template, el("div", { class: "row" }, made.why, made.save), made.saved));
    return made;
  }

  async function save(made) {
    made.save.disabled = true;
    try {
      const { version } = await call("/versions", { template: made.template.value, message: made.why.value.trim() });
      ({ prompts } = await call(""));
      versions();
      made.show(version);
      made.why.value = "";
      made.saved.textContent = `Saved as version ${version}. It serves when the gate promotes it: make evaluate VERSION=${version}`;
    } catch (failure) { made.saved.textContent = failure.message; } finally { made.save.disabled = false; }
  }

  function versions() {
    for (const { version: list } of variants) {
      const chosen = list.value;
      list.replaceChildren(
        ...prompts.map(({ version, serves }) => el("option", { value: version }, `${version === "packaged" ? "packaged" : `version ${version}`}${serves ? ", serves" : ""}`)),
        el("option", { value: "draft" }, "draft"),
      );
      list.value = chosen;
    }
  }

  function list() {
    const shown = cases.filter((each) => $("kind").value === "all" || each.kind === $("kind").value);
    $("list").replaceChildren(...shown.map((each) => el("label", {},
      el("input", { type: "checkbox", value: each.case_id, onchange: count }),
      el("span", {}, each.question, el("br"), el("small", {}, `${each.case_id} · asked by ${each.caller}`)))));
    if (shown.length) $("list").querySelector("input").checked = true;
    count();
  }

  const chosen = () => [...$("list").querySelectorAll(":checked")].map((box) => cases.find((each) => each.case_id === box.value));

  function count() {
    $("chosen").textContent = `${chosen().length} of ${$("list").children.length} chosen`;
    $("try").disabled = !chosen().length;
  }

  async function tryAll() {
    const asked = chosen();
    if (!asked.length || $("try").disabled) return;
    $("try").disabled = true;
    $("results").replaceChildren();
    const tried = variants.map((each) => ({ template: each.template.value, model_id: each.model.value, version: each.version.value || "draft" }));
    try {
      for (const [done, each] of asked.entries()) {
        $("message").textContent = `Asking ${done + 1} of ${asked.length} …`;
        const { answers } = await call("/tries", { case_id: each.case_id, variants: tried });
        const left = el("div", {}, el("p", {}, each.question), el("ul", { class: "chips" }, expected(each.expected).map((words) => el("li", { class: "chip" }, words))));
        $("results").append(el("section", { class: "result", "aria-label": each.question }, left, answers.map(drawn)));
      }
      $("message").textContent = "";
    } catch (failure) { $("message").textContent = failure.message; } finally { count(); }
  }

  versions();
  const serves = prompts.find((each) => each.serves) ?? prompts[0];
  variants[0].show(serves.version);
  variants[1].show(prompts[0].version);
  const kinds = ["all", ...new Set(cases.map((each) => each.kind))];
  $("kind").replaceChildren(...kinds.map((name) => el("option", { value: name }, name === "all" ? "every kind" : name)));
  $("kind").addEventListener("change", list);
  $("try").addEventListener("click", tryAll);
  document.addEventListener("keydown", (pressed) => {
    if (pressed.key === "Enter" && (pressed.ctrlKey || pressed.metaKey)) { pressed.preventDefault(); tryAll(); }
  }, { signal });
  list();
  $("done").hidden = true;
  $("cases").hidden = false;
}

function expected({ facts = [], tools, finish, guardrail, documents = [], lacks = [] }) {
  return [
    ...facts.map((fact) => `says: ${fact}`),
    ...(tools ?? []).map((tool) => `calls ${tool.name}${tool.status ? ` (${tool.status})` : ""}`),
    tools && !tools.length && "calls no tool",
    ...documents.map((id) => `finds ${id}`),
    finish && `ends with ${finish}`,
    guardrail && `guardrails: ${guardrail}`,
    ...lacks.map((words) => `never says: ${words}`),
  ].filter(Boolean);
}

function drawn(said) {
  const chips = [
    ...said.guardrails.map((each) => [each, each.split(" ")[1]]),
    ...said.calls.map((each) => [`${each.name} ${each.status}`, each.status]),
    ...said.retrieved.map((each) => [each.title ?? each.id, ""]),
  ];
  return el("div", {},
    el("p", { class: said.finish === "content_filter" ? "text blocked" : "text" }, said.text || "(nothing)"),
    el("ul", { class: "chips" }, chips.map(([words, kind]) => el("li", { class: `chip ${SHOWN[kind] ?? ""}` }, words))),
    el("p", { class: "muted" }, `${said.seconds.toFixed(2)} s · ${said.input_tokens} + ${said.output_tokens} tokens · ${dollars(said.cost_usd)}`));
}
