// The calls: one row each, which opens into a timeline.
import { send } from "./api.js";
import { copyButton } from "./copy.js";
import { element, keyed, setText } from "./dom.js";
import { fail, report } from "./outputs.js";
import { clock, milliseconds } from "./time.js";
import { createTimeline, updateTimeline } from "./timeline.js";

const SCHEMAS = { eventGrid: "Event Grid schema", cloudEvents: "CloudEvents 1.0" };
const filter = document.getElementById("filter");
const latest = new Map();
let all = [];

export function setUpCalls() {
  filter.addEventListener("input", () => showCalls(all));
  const clear = document.getElementById("clear");
  clear.addEventListener("click", async () => {
    try {
      await send("/calls/clear", {});
    } catch (error) {
      fail(document.getElementById("no-calls"), error.message);
    }
  });
}

export function showCalls(calls) {
  all = calls;
  const wanted = filter.value.trim().toLowerCase();
  const shown = wanted ? calls.filter((call) => JSON.stringify(call).toLowerCase().includes(wanted)) : calls;
  latest.clear();
  for (const call of shown) latest.set(call.id, call);
  keyed(document.getElementById("call-list"), shown, (call) => call.id, createCall, updateCall);
  const none = document.getElementById("no-calls");
  none.hidden = shown.length > 0;
  setText(none, calls.length > 0 ? "No call matches the filter." : "No call yet.");
}

function createCall(call) {
  const details = element("details", {},
    element("summary", {},
      element("time", { class: "call-time" }, clock(call.at)),
      element("span", { class: "call-who" },
        element("span", { class: "call-caller" }), " → ", element("span", { class: "call-callee" })),
      element("span", { class: "badge" }),
      element("span", { class: "call-rang" }),
      element("span", { class: "call-ms" })),
    element("div", { class: "call-body" }, facts(call), createTimeline(), actions(call)));
  // The timeline of a closed call is not built.
  details.addEventListener("toggle", () => updateTimeline(details, latest.get(call.id)));
  return element("li", { class: "call", "data-call": call.id }, details);
}

function updateCall(node, call) {
  node.dataset.tone = call.tone;
  setText(node.querySelector(".call-caller"), call.caller);
  setText(node.querySelector(".call-callee"), call.callee?.name ?? "?");
  const badge = node.querySelector(".badge");
  setText(badge, call.result);
  badge.dataset.tone = call.tone;
  setText(node.querySelector(".call-rang"), call.devices === null ? "" : `${call.rang}/${call.devices} rang`);
  setText(node.querySelector(".call-ms"), call.ms === null ? "" : milliseconds(call.ms));
  node.querySelector(".hang-up").hidden = !call.canHangUp;
  updateTimeline(node.firstElementChild, call);
}

function facts(call) {
  const known = [call.callId && `call ${call.callId}`, SCHEMAS[call.schemaName], call.placedHere ? null : "not placed here"];
  return element("p", { class: "call-facts" }, known.filter(Boolean).join(" · "));
}

function actions(call) {
  const output = element("output", { role: "status" });
  const hangUp = element("button", { type: "button", class: "quiet hang-up" }, "Hang up");
  hangUp.addEventListener("click", () => report(output, async () => { await send("/calls/end", { callId: call.callId }); }));
  return element("div", { class: "call-actions" }, hangUp,
    copyButton("Copy as JSON", "Copy this call as JSON", () => JSON.stringify(latest.get(call.id), null, 2)),
    call.callee ? copyButton("Copy callee’s MRI", `Copy the MRI of ${call.callee.name}`, () => call.callee.mri) : null,
    output);
}
