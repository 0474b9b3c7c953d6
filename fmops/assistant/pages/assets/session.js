// Signs a person in with the authorization code flow and PKCE (RFC 7636), and calls the API in their name. Tokens live in
// this module's memory only; a reload signs in again through the issuer's own session.

const BASE = new URL("./", location.href);
const RENEW_BEFORE = 60_000; // milliseconds before its end at which a token is renewed
const PENDING = "fmops.sign-in"; // what the return from the issuer is checked against
const SEEN = "fmops.signed-in"; // whether this tab was signed in, so that a reload signs in by itself

let provider = null;
let tokens = null; // { id, refresh, expires, person }
let renewal = null;
let whenSignedOut = () => {};

/** A refusal of the API: `status`, `code`, and a sentence for people. */
export class ApiError extends Error {
  constructor(status, code, message, retryAfter = null) {
    super(message);
    Object.assign(this, { status, code, retryAfter });
  }
}

/** Return the person who is signed in (`id`, `name`, `groups`), or null. */
export const person = () => tokens?.person ?? null;

/** Call `then` when the person's session has ended. */
export const onSignedOut = (then) => { whenSignedOut = then; };

/** Return how people sign in here, as the server found it. */
export async function signIn() {
  if (!provider) {
    const answer = await fetch(new URL("sign-in.json", BASE));
    if (!answer.ok) throw new ApiError(answer.status, "sign_in", "The sign-in could not be looked up: try again.");
    provider = await answer.json();
  }
  return provider;
}

/** Finish a sign-in that this address returns from, or begin one if this tab had one. Return whether a person is signed in. */
export async function resume() {
  const given = new URLSearchParams(location.search);
  if (location.pathname.endsWith("/signed-in")) {
    const pending = taken(PENDING);
    history.replaceState(null, "", new URL(pending?.back ?? "./", BASE));
    if (given.get("error")) throw new ApiError(401, "sign_in", `The sign-in did not succeed (${given.get("error")}): try again.`);
    if (!pending || given.get("state") !== pending.state) {
      throw new ApiError(401, "sign_in", "This sign-in was not begun in this tab, or it is too old: sign in again.");
    }
    await exchange({ grant_type: "authorization_code", code: given.get("code") ?? "", redirect_uri: redirect(), code_verifier: pending.verifier }, pending.nonce);
    return true;
  }
  if (!sessionStorage.getItem(SEEN) || !(await signIn()).available) return false;
  await begin();
  return new Promise(() => {}); // the page is being left
}

/** Go to the issuer's sign-in page, and come back to the address that is shown now. */
export async function begin() {
  const { authorization_endpoint, client_id, scope } = await signIn();
  if (!isSecureContext) {
    throw new ApiError(0, "sign_in", "Browsers sign nobody in over plain http: open these pages over https, or through http://localhost.");
  }
  const verifier = random(), state = random(), nonce = random();
  const back = location.href.startsWith(BASE.href) ? location.href.slice(BASE.href.length) : "";
  sessionStorage.setItem(PENDING, JSON.stringify({ verifier, state, nonce, back: `./${back}` }));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const address = new URL(authorization_endpoint);
  address.search = new URLSearchParams({
    ...Object.fromEntries(address.searchParams),
    response_type: "code", client_id, redirect_uri: redirect(), scope, state, nonce,
    code_challenge: base64url(new Uint8Array(digest)), code_challenge_method: "S256",
  });
  location.assign(address);
}

/** Use an ID token from elsewhere, where nobody can sign in. Throws for what is not a token. */
export function use(token) {
  keep({ id_token: token.trim() });
  sessionStorage.removeItem(SEEN);
}

/** End the session here and at the issuer. */
export async function signOut() {
  const { refresh, id } = tokens ?? {};
  forget();
  const { available, client_id, end_session_endpoint, revocation_endpoint, logout } = await signIn();
  if (!available) return whenSignedOut();
  if (refresh && revocation_endpoint) {
    await fetch(revocation_endpoint, { method: "POST", body: new URLSearchParams({ token: refresh, client_id }) }).catch(() => null);
  }
  if (!end_session_endpoint) return whenSignedOut();
  const address = new URL(end_session_endpoint);
  const home = BASE.href;
  const ends = logout === "cognito" ? { client_id, logout_uri: home } : { client_id, id_token_hint: id, post_logout_redirect_uri: home };
  for (const [name, value] of Object.entries(ends)) address.searchParams.set(name, value);
  location.assign(address);
}

/** Call the API as the person who is signed in, with a JSON `body` if one is given. */
export async function api(path, { method, body, signal } = {}) {
  await renewed();
  const answer = await send(path, { method, body, signal });
  if (answer.status !== 401 || !tokens?.refresh) return answer;
  tokens.expires = 0;
  await renewed();
  return send(path, { method, body, signal });
}

/** Return the body of the API's answer. Throws ApiError for a refusal. */
export async function json(path, options) {
  const answer = await api(path, options);
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw refusal(answer, said);
  return said;
}

/** Return the API's refusal as an error. */
export function refusal(answer, said) {
  const { code = "error", message = `The server answered ${answer.status}: try again.` } = said.error ?? {};
  return new ApiError(answer.status, code, message, answer.headers.get("retry-after"));
}

async function send(path, { method, body, signal }) {
  const headers = { authorization: `Bearer ${tokens?.id ?? ""}` };
  if (body !== undefined) headers["content-type"] = "application/json";
  try {
    return await fetch(new URL(path, BASE), {
      method: method ?? (body === undefined ? "GET" : "POST"), headers, signal,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new ApiError(0, "connection", "The connection was lost: check the network, and try again.");
  }
}

// Many calls may find the token too old at once; one renewal serves them all.
async function renewed() {
  if (!tokens || tokens.expires - Date.now() > RENEW_BEFORE || !tokens.refresh) return;
  renewal ??= exchange({ grant_type: "refresh_token", refresh_token: tokens.refresh }).finally(() => { renewal = null; });
  await renewal;
}

async function exchange(form, nonce) {
  const { token_endpoint, client_id } = await signIn();
  let answer;
  try {
    answer = await fetch(token_endpoint, { method: "POST", body: new URLSearchParams({ ...form, client_id }) });
  } catch {
    throw new ApiError(0, "sign_in", "The sign-in service could not be reached: check the network, and try again.");
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const expired = form.grant_type === "refresh_token";
    if (expired && answer.status < 500) { forget(); await begin(); return new Promise(() => {}); }
    throw new ApiError(answer.status, "sign_in", `The sign-in did not succeed (${said.error ?? answer.status}): sign in again.`);
  }
  if (nonce && claims(said.id_token).nonce !== nonce) throw new ApiError(401, "sign_in", "The answer belongs to another sign-in: sign in again.");
  keep({ refresh_token: tokens?.refresh, ...said });
  sessionStorage.setItem(SEEN, "yes");
}

// The lifetime counts from now by this device's clock, which may be wrong; a token from elsewhere has only its end.
function keep({ id_token, refresh_token, expires_in }) {
  const said = claims(id_token);
  const name = String(said["cognito:username"] ?? said.preferred_username ?? said.email ?? said.sub);
  const groups = said["cognito:groups"] ?? said.groups ?? [];
  const expires = expires_in ? Date.now() + expires_in * 1000 : said.exp * 1000;
  tokens = { id: id_token, refresh: refresh_token ?? null, expires, person: { id: said.sub, name, groups: [groups].flat() } };
}

function forget() {
  tokens = null;
  sessionStorage.clear(); // what pages kept for this person goes too
}

function claims(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    const bytes = Uint8Array.from(atob(part), (character) => character.charCodeAt(0));
    const said = JSON.parse(new TextDecoder().decode(bytes));
    if (!said.sub || !said.exp) throw new TypeError("incomplete");
    return said;
  } catch {
    throw new ApiError(401, "invalid_token", "That is not an ID token: it has three parts, which dots separate.");
  }
}

const redirect = () => new URL("signed-in", BASE).href;
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

function taken(key) {
  const kept = sessionStorage.getItem(key);
  sessionStorage.removeItem(key);
  return kept ? JSON.parse(kept) : null;
}
