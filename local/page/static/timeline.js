// The story of a call: its steps in the order of time.
import { send } from "./api.js";
import { element, keyed, rebuild, setText } from "./dom.js";
import { fieldList } from "./fields.js";
import { fail } from "./outputs.js";
import { pushDetails } from "./push.js";
import { milliseconds, offset } from "./time.js";

const LANES = {
  caller: "Call", grid: "Event Grid", app: "App", ledger: "Ledger", devices: "Devices", hub: "Hub", phone: "Phone",
};

export function createTimeline() {
  return element("ol", { class: "timeline" });
}

export function updateTimeline(details, call) {
  if (!details.open || !call) return;
  keyed(details.querySelector(".timeline"), call.steps, (step) => step.id, createStep,
    (node, step) => updateStep(node, step, call));
}

function createStep(step) {
  return element("li", { class: "step", "data-lane": step.lane },
    element("span", { class: "step-at" }),
    element("span", { class: "step-lane" }, LANES[step.lane]),
    element("div", { class: "step-text" },
      element("p", {}, element("span", { class: "step-name" }), " ", element("span", { class: "step-detail" })),
      element("ol", { class: "tries", "aria-label": "Tries" }),
      element("div", { class: "step-more" })),
    element("span", { class: "step-ms" }));
}

function updateStep(node, step, call) {
  node.dataset.tone = step.tone;
  const at = node.querySelector(".step-at");
  if (step.due === null) setText(at, offset(step.at - call.at));
  else at.dataset.until = step.due;
  setText(node.querySelector(".step-name"), step.text);
  setText(node.querySelector(".step-detail"), step.detail ?? "");
  setText(node.querySelector(".step-ms"), step.ms === null ? "" : milliseconds(step.ms));
  rebuild(node.querySelector(".tries"), step.tries, (tries) => tries.map(tryItem));
  rebuild(node.querySelector(".step-more"), [step.pushes, step.fields, step.eventId, step.work], () => [
    ...step.pushes.map(pushDetails),
    step.work.length > 0 ? workDetails(step.work) : null,
    step.fields ? element("details", {}, element("summary", {}, "Log line"), fieldList(step.fields)) : null,
    step.eventId ? redeliver(step) : null,
  ]);
}

function tryItem(one) {
  const took = one.ms === null ? "" : ` ${milliseconds(one.ms)}`;
  return element("li", { class: "try", "data-accepted": String(one.accepted), title: one.trackingId },
    one.waited === null ? null : element("span", { class: "waited" }, `${milliseconds(one.waited * 1000)} later`),
    element("span", { class: "answer" }, `${one.result}${took}`),
    one.reason ? element("span", { class: "reason" }, one.reason) : null);
}

function workDetails(work) {
  const items = work.map((one) => element("li", {}, `${one.text} · ${milliseconds(one.ms)}`));
  return element("details", {}, element("summary", {}, "Database"),
    element("ol", { class: "work" }, ...items));
}

function redeliver(step) {
  const button = element("button", { type: "button", class: "quiet" }, "Redeliver",
    element("span", { class: "unseen" }, ` ${step.text}`));
  const output = element("output", { role: "alert" });
  button.addEventListener("click", async () => {
    output.textContent = "";
    try {
      await send("/redeliveries", { eventId: step.eventId });
    } catch (error) {
      fail(output, error.message);
    }
  });
  return element("div", {}, button, output);
}
