// One call on one phone: the hub's answers and the exact push.
import { element, keyed, rebuild, setText } from "./dom.js";
import { attemptText, callerName, ringState, rungText, stateText } from "./rings.js";
import { clock, moment } from "./time.js";

export function createRing(ring) {
  return element("div", { class: "ring", "data-call": ring.callId },
    element("p", { class: "ring-line" },
      element("strong", { class: "ring-caller" }), " ", element("span", { class: "badge rung" }),
      " ", element("span", { class: "ring-state" })),
    element("dl", { class: "push-facts" }),
    element("details", {},
      element("summary", {}, "Push and answers"),
      element("div", { class: "attempts" }),
      element("div", { class: "pushes" })));
}

export function updateRing(node, ring) {
  node.dataset.state = ringState(ring);
  setText(node.querySelector(".ring-caller"), callerName(ring));
  const rung = node.querySelector(".rung");
  setText(rung, rungText(ring));
  rung.dataset.tone = ring.pushes.length === 1 ? "good" : "bad";
  setText(node.querySelector(".ring-state"), stateText(ring));
  rebuild(node.querySelector(".push-facts"), factsOf(ring), (facts) => facts.map(fact));
  rebuild(node.querySelector(".attempts"), ring.attempts, (attempts) => [attemptTable(attempts)]);
  keyed(node.querySelector(".pushes"), ring.pushes, (push) => push.sequence, createPush);
}

function factsOf(ring) {
  const push = ring.pushes.at(-1);
  const facts = [["Hub", hubAnswers(ring)]];
  if (!push) return facts;
  facts.push(["Push age", { since: push.receivedAt }]);
  if (ring.began !== null) facts.push(["Call age", { since: ring.began }]);
  if (push.expiresAt !== null) facts.push(["Expires in", { until: push.expiresAt }]);
  facts.push(["Tracking", push.trackingId]);
  return facts;
}

function hubAnswers(ring) {
  const answers = ring.attempts.map(attemptText).join(", ");
  const count = ring.attempts.length;
  return count === 0 ? "nothing" : `${answers} (${count} ${count === 1 ? "attempt" : "attempts"})`;
}

function fact([name, value]) {
  const shown = element("dd");
  if (typeof value === "string") shown.textContent = value;
  else if (value.since !== undefined) shown.setAttribute("data-since", value.since);
  else shown.setAttribute("data-until", value.until);
  return element("div", {}, element("dt", {}, name), shown);
}

function attemptTable(attempts) {
  const rows = attempts.map((attempt, index) =>
    element("tr", { "data-accepted": attempt.accepted },
      element("td", {}, String(index + 1)), element("td", {}, clock(attempt.at)),
      element("td", {}, [attemptText(attempt), attempt.reason].filter(Boolean).join(": ")),
      element("td", { class: "code" }, attempt.trackingId)));
  const heads = ["#", "At", "Answer of the hub", "Tracking id"].map((head) => element("th", { scope: "col" }, head));
  return scrollable("Answers of the hub", element("table", {},
    element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows)));
}

function createPush(push) {
  const headers = Object.entries(push.headers).map(([name, value]) => `${name}: ${value}`).join("\n");
  return element("div", { class: "push" },
    element("p", { class: "push-heading" }, `Push ${push.sequence}, arrived ${clock(push.receivedAt)}`,
      push.expiresAt === null ? "" : `, expires ${moment(push.expiresAt)}`),
    element("h4", {}, "Headers"), scrollable("Headers of the push", element("pre", { class: "push-headers" }, headers)),
    element("h4", {}, `Body, ${push.bodyBytes} bytes`),
    scrollable("Body of the push", element("pre", { class: "push-body" }, push.body)));
}

// A scrollable region must be reachable by keyboard.
function scrollable(label, child) {
  return element("div", { class: "scrollable", role: "region", "aria-label": label, tabIndex: 0 }, child);
}
