// This very browser as a phone: its service worker gets what the hub simulator relays over the page's stream.
// A push service is not reached from here, so the subscription is made by hand; its keys are real ones.
import { expectStatus, load, send } from "./api.js";
import { report } from "./outputs.js";
import { mriOf } from "./users.js";

const WORKER = "/browser-worker.js";
const form = document.getElementById("register-form");
let relayed = Number(localStorage.getItem("relayed") ?? 0);
let inTurn = Promise.resolve();

export function setUpBrowser() {
  document.getElementById("this-browser").addEventListener("click", () => report(form.querySelector("output"), register));
  navigator.serviceWorker?.addEventListener("message", ({ data }) => act(data));
}

export function isThisBrowser(phone) {
  return phone.platform === "browser" && phone.deviceUuid === localStorage.getItem("deviceUuid");
}

// Hands each new push of this browser to its service worker, in their order.
export function relay(phones) {
  const own = phones.find(isThisBrowser);
  for (const sequence of own?.received ?? []) {
    if (sequence <= relayed) continue;
    relayed = sequence;
    localStorage.setItem("relayed", String(sequence));
    inTurn = inTurn.then(() => handOver(sequence)).catch((error) => console.warn(error.message));
  }
}

async function handOver(sequence) {
  const push = await load(`/pushes/${sequence}`);
  const registration = await navigator.serviceWorker.ready;
  registration.active.postMessage({ sequence, push: JSON.parse(push.body) });
}

async function register() {
  if (!navigator.serviceWorker) throw new Error("This browser has no service workers.");
  if (await Notification.requestPermission() !== "granted") {
    throw new Error("This browser does not allow the page to show notifications.");
  }
  await navigator.serviceWorker.register(workerUrl());
  await navigator.serviceWorker.ready;
  const deviceUuid = localStorage.getItem("deviceUuid") ?? crypto.randomUUID();
  localStorage.setItem("deviceUuid", deviceUuid);
  const subscription = JSON.stringify(await subscribe());
  const acsMri = mriOf(form.elements.acsMri.value);
  const answer = await send("/phones/browser", { acsMri, deviceUuid, subscription });
  expectStatus(answer, 201);
  return `201 · this browser is registered until ${answer.body.expiresAt}`;
}

function workerUrl() {
  // The page's policy allows no other script URL.
  const policy = globalThis.trustedTypes?.createPolicy("service-worker", { createScriptURL: () => WORKER });
  workerUrl.made ??= policy ? policy.createScriptURL("") : WORKER;
  return workerUrl.made;
}

async function subscribe() {
  const pair = await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, false, ["deriveBits"]);
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
  const auth = crypto.getRandomValues(new Uint8Array(16));
  return {
    endpoint: `https://push.example/${crypto.randomUUID()}`,
    keys: { p256dh: base64url(point), auth: base64url(auth) },
  };
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// A button of the notification was pressed.
async function act({ callId, action }) {
  const own = [...document.querySelectorAll("article.phone[data-platform=browser]")]
    .find((card) => card.dataset.device === localStorage.getItem("deviceUuid"));
  if (!own || !action) return;
  try {
    await send("/actions", { phoneId: own.id, callId, action });
  } catch (error) {
    console.warn(error.message);
  }
}
