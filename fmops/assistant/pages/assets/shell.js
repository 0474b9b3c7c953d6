// Shows the page of the address, with one navigation for all. Pages change without a reload, so that tokens stay in memory.
import { el } from "./dom.js";
import { json, onSignedOut, person, resume, begin, signIn, signOut, use } from "./session.js";

const BASE = new URL("./", location.href);
const TITLE = document.title;
const PAGES = {
  home: "Home", chat: "Chat", approvals: "Approvals", review: "Review", gaps: "Gaps", playground: "Playground", why: "Why?", document: "Document",
};
const BADGE_SECONDS = 20;

const main = document.querySelector("#main");
let leaving = new AbortController();
let may = { pages: [], waiting: 0 };

const routeOf = (address) => address.pathname.slice(BASE.pathname.length).replace(/\/$/, "") || "home";
const isPage = (address) => address.origin === BASE.origin && address.pathname.startsWith(BASE.pathname) && routeOf(address) in PAGES;

function markup(name) {
  const fragment = document.querySelector(`#page-${name}`);
  main.replaceChildren(...(fragment ? [fragment.content.cloneNode(true)] : []));
  main.className = `page-${name}`;
}

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const name = routeOf(new URL(location.href));
  document.title = name === "home" ? TITLE : `${PAGES[name]} · ${TITLE}`;
  navigation(name);
  try {
    // Nothing of a page is shown before its script is there: what somebody types at once must not be lost.
    const page = await import(`./${name}.js`);
    if (signal.aborted) return;
    markup(name);
    await page.show(main, { person: person(), query: new URLSearchParams(location.search), signal, navigate });
  } catch (failure) {
    if (signal.aborted || failure.name === "AbortError") return;
    main.replaceChildren(el("div", { class: "notice bad", role: "alert" },
      el("p", {}, failure.message), el("button", { type: "button", class: "button", onclick: () => show() }, "Try again")));
  }
}

/** Go to another page, by its relative address. */
function navigate(address) {
  history.pushState(null, "", new URL(address, BASE));
  scrollTo(0, 0);
  // Readers begin at the new page, unless they are already at work in it.
  show().then(() => { if (!main.contains(document.activeElement)) main.focus({ preventScroll: true }); });
}

function navigation(current) {
  const links = ["home", ...may.pages].map((name) => {
    const waiting = name === "approvals" && may.waiting > 0;
    return el("li", {}, el("a", { href: name === "home" ? "./" : name, "aria-current": name === current ? "page" : null },
      PAGES[name], waiting && el("span", { class: "badge" }, String(may.waiting), el("span", { class: "visually-hidden" }, " waiting for you"))));
  });
  document.querySelector("#pages").replaceChildren(...(person() ? links : []));
}

async function permitted() {
  may = await json("v1/me").catch(() => may);
  navigation(routeOf(new URL(location.href)));
}

// Only what waits changes while somebody works, and only for those whom approvals concern.
async function counted() {
  if (!person() || document.visibilityState !== "visible" || !may.pages.includes("approvals")) return;
  const { waiting } = await json("v1/approvals/count").catch(() => may);
  if (waiting === may.waiting) return;
  may.waiting = waiting;
  navigation(routeOf(new URL(location.href)));
}

document.addEventListener("click", (clicked) => {
  const link = clicked.target.closest("a[href]");
  if (!link || clicked.defaultPrevented || clicked.button || clicked.metaKey || clicked.ctrlKey || clicked.shiftKey || link.target) return;
  const address = new URL(link.href);
  if (link.getAttribute("href").startsWith("#")) return;
  if (!person() || !isPage(address)) return;
  clicked.preventDefault();
  navigate(address.href);
});
addEventListener("popstate", () => (person() ? show() : welcome()));
document.querySelector("#sign-out").addEventListener("click", () => signOut());

async function welcome(failure) {
  leaving.abort();
  document.querySelector("#person").hidden = true;
  navigation("welcome");
  markup("welcome");
  const part = (id) => main.querySelector(`#${id}`);
  const say = (sentence) => { part("problem").textContent = sentence; part("problem").hidden = false; };
  if (failure) say(failure.message);
  part("with-token").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    try { use(part("token").value); enter(); } catch (wrong) { say(wrong.message); }
  });
  part("sign-in").addEventListener("click", () => begin().catch((wrong) => say(wrong.message)));
  try {
    const { available, reason } = await signIn();
    part("sign-in").hidden = !available;
    part("other-way").hidden = available;
    if (!available) say(reason);
  } catch (unknown) { part("other-way").hidden = false; say(unknown.message); }
}

async function enter() {
  document.querySelector("#who").textContent = person().name;
  document.querySelector("#who").title = person().groups.join(", ");
  document.querySelector("#person").hidden = false;
  await permitted();
  await show();
}

onSignedOut(() => { history.replaceState(null, "", BASE); welcome(); });
setInterval(counted, BADGE_SECONDS * 1000);
try {
  await ((await resume()) ? enter() : welcome());
} catch (failure) { await welcome(failure); }
