// A phone's screen: idle, ringing, or in a call.
import { send } from "./api.js";
import { element, rebuild } from "./dom.js";
import { callerName, ringState } from "./rings.js";

export function createScreen() {
  return element("div", { class: "screen" });
}

export function updateScreen(screen, phone, ring, name) {
  const shown = ring
    ? { state: ringState(ring), call: ring.callId, caller: callerName(ring), until: ring.expiresAt, began: lastArrival(ring) }
    : { state: "idle", last: lastState(phone) };
  rebuild(screen, shown, () => (ring ? call(phone, shown, name) : idle(shown)));
}

function lastArrival(ring) {
  return ring.pushes.at(-1)?.receivedAt ?? ring.expiresAt;
}

function lastState(phone) {
  return phone.rings.length > 0 ? ringState(phone.rings[0]) : null;
}

const LAST = {
  declined: "Call declined",
  ended: "Call ended",
  elsewhere: "Answered on another phone",
  missed: "Missed call",
  waiting: "The hub has not accepted a push yet",
};

function idle(shown) {
  return [
    element("p", { class: "wall-clock", "data-wall-clock": "" }),
    element("p", { class: "quiet-line" }, LAST[shown.last] ?? "Waiting for a call"),
  ];
}

function call(phone, shown, name) {
  const rings = shown.state === "ringing";
  return [
    element("div", { class: "avatar", "aria-hidden": "true" }, initials(shown.caller)),
    element("p", { class: "caller" }, shown.caller),
    rings ? countdown(shown) : element("p", { class: "quiet-line" }, "In the call"),
    element("div", { class: "answers" }, ...(rings
      ? [button("Decline", "declined", "decline"), button("Accept", "accepted", "accept")]
      : [button("Hang up", "ended", "decline")])),
    element("output", { role: "status" }),
  ];

  function button(label, answer, kind) {
    const onClick = (event) => give(phone, shown.call, answer, event.currentTarget);
    return element("button", { type: "button", class: kind, "aria-label": `${label} on the ${name}: ${shown.caller}`,
      on: { click: onClick } }, label);
  }
}

function countdown(shown) {
  return element("div", { class: "countdown" },
    element("p", { class: "quiet-line" }, "Incoming call · ",
      element("span", { role: "timer", "data-until": shown.until, "data-whole": "1" })),
    element("progress", { max: Math.max(1, shown.until - shown.began), "aria-hidden": "true", "data-until": shown.until }));
}

function initials(caller) {
  const letters = caller.trim().split(/\s+/).map((word) => [...word][0] ?? "");
  return letters.slice(0, 2).join("").toUpperCase();
}

async function give(phone, callId, answer, button) {
  const output = button.closest(".screen").querySelector("output");
  const card = button.closest("article");
  try {
    await send("/answers", { phoneId: phone.id, callId, answer });
    // The buttons are about to be removed: move the focus to the phone.
    const heading = card.querySelector("h3");
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  } catch (error) {
    output.textContent = error.message;
  }
}
