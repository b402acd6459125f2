// A phone's screen: idle, ringing, in a call, or with a notification.
import { send } from "./api.js";
import { element, rebuild } from "./dom.js";
import { fail } from "./outputs.js";
import { canAnswer, stateText } from "./states.js";

export function createScreen() {
  return element("div", { class: "screen" });
}

export function updateScreen(screen, phone, name) {
  const { call, notification, isUninstalled } = phone;
  rebuild(screen, { call, notification, name, isUninstalled }, () => {
    if (isUninstalled) return [element("p", { class: "quiet-line" }, "The app is not on this phone any more")];
    if (call && (canAnswer(call) || call.state === "answered")) return active(phone, call, notification, name);
    return idle(call, notification);
  });
}

function idle(call, notification) {
  return [
    element("p", { class: "wall-clock", "data-wall-clock": "" }),
    notification ? banner(notification) : null,
    element("p", { class: "quiet-line" }, call ? stateText(call) : "Waiting for a call"),
  ];
}

function active(phone, call, notification, name) {
  const open = canAnswer(call);
  return [
    call.state === "shown" && notification ? banner(notification) : null,
    element("div", { class: "avatar", "aria-hidden": "true" }, initials(call.caller)),
    element("p", { class: "caller" }, call.caller),
    open ? countdown(call) : element("p", { class: "quiet-line" }, stateText(call)),
    element("div", { class: "answers" }, ...(open
      ? [button("Decline", "declined", "decline"), button("Answer", "answered", "accept")]
      : [button("Hang up", "ended", "decline")])),
    element("output", { role: "alert" }),
  ];

  function button(label, action, kind) {
    const onClick = (event) => act(phone, call, action, event.currentTarget);
    return element("button", { type: "button", class: kind, "aria-label": `${label} on ${name}: ${call.caller}`,
      on: { click: onClick } }, label);
  }
}

function banner(notification) {
  return element("div", { class: "banner" },
    element("strong", {}, notification.title), element("span", {}, notification.body));
}

function countdown(call) {
  if (call.until === null) return element("p", { class: "quiet-line" }, stateText(call));
  return element("div", { class: "countdown" },
    element("p", { class: "quiet-line" }, "Incoming call · ",
      element("span", { role: "timer", "data-until": call.until, "data-whole": "1" })),
    element("progress", { max: Math.max(1, call.until - call.began), "aria-hidden": "true", "data-until": call.until }));
}

function initials(caller) {
  const letters = caller.trim().split(/\s+/).map((word) => [...word][0] ?? "");
  return letters.slice(0, 2).join("").toUpperCase();
}

async function act(phone, call, action, button) {
  const output = button.closest(".screen").querySelector("output");
  const heading = button.closest("article").querySelector("h3");
  try {
    await send("/actions", { phoneId: phone.id, callId: call.callId, action });
    // The buttons are about to be removed: move the focus to the phone.
    heading.focus({ preventScroll: true });
  } catch (error) {
    fail(output, error.message);
  }
}
