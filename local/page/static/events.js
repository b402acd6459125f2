// The calls: each event with its deliveries and the app's log lines.
import { send } from "./api.js";
import { element, keyed, rebuild, setText } from "./dom.js";
import { clock } from "./time.js";

const SCHEMAS = { eventGrid: "Event Grid", cloudEvents: "CloudEvents 1.0" };
const TONES = { delivered: "good", duplicate: "good", skipped: "plain", missed: "warn", incomplete: "warn" };

export function showEvents(snapshot) {
  const { events, otherLines } = snapshot;
  keyed(document.getElementById("event-list"), events, (event) => event.id, createEvent, updateEvent);
  document.getElementById("no-events").hidden = events.length > 0;
  document.getElementById("redeliver-last").disabled = !events.some((event) => event.deliveries.length > 0);
  const others = document.getElementById("other-lines");
  others.hidden = otherLines.length === 0;
  rebuild(others.lastElementChild, otherLines, (lines) => lines.map(createLine));
}

function createEvent(event) {
  const placedHere = event.deliveries.length > 0;
  const output = element("output", { role: "status" });
  return element("article", { class: "event card", "data-event": event.id },
    element("h3", {}, placedHere ? event.caller || "Unknown caller" : "A call not placed here"),
    element("p", { class: "event-facts" }, facts(event)),
    element("ol", { class: "deliveries" }),
    element("div", { class: "lines" }),
    placedHere ? element("button", { type: "button", class: "quiet", on: { click: () => again(event, output) } },
      "Redeliver", element("span", { class: "unseen" }, " this event")) : null,
    output);
}

function facts(event) {
  const known = [clock(event.at), SCHEMAS[event.schemaName], event.callee && `to ${event.callee}`, event.callId && `call ${event.callId}`];
  return known.filter(Boolean).join(" · ");
}

function updateEvent(node, event) {
  keyed(node.querySelector(".deliveries"), event.deliveries.map((each, index) => ({ ...each, index })),
    (delivery) => delivery.index, () => element("li"), (item, delivery) => setText(item, deliveryText(delivery)));
  rebuild(node.querySelector(".lines"), event.lines, (lines) => lines.map(createLine));
}

function deliveryText(delivery) {
  const what = delivery.index === 0 ? "Delivered" : "Redelivered";
  const when = `${what} ${clock(delivery.at)}`;
  if (delivery.problem) return `${when}: ${delivery.problem}`;
  if (delivery.status === null) return `${when}, no answer yet …`;
  const redelivers = delivery.status >= 500 ? "; Event Grid would redeliver" : "";
  return `${when} → ${delivery.status} after ${delivery.tookMs} ms${redelivers}`;
}

function createLine(line) {
  const { event, result, ...fields } = line.fields;
  const name = result ?? event;
  return element("div", { class: "line", "data-level": line.level },
    element("p", { class: "line-heading" },
      element("span", { class: "badge", "data-tone": TONES[result] ?? (line.level === "INFO" ? "plain" : "bad") }, name),
      " ", element("span", { class: "line-facts" }, `${line.time} ${line.level}`)),
    element("dl", { class: "fields" }, ...Object.entries(fields).map(field)));
}

function field([name, value]) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return element("div", {}, element("dt", {}, name), element("dd", {}, text));
}

async function again(event, output) {
  output.textContent = "";
  try {
    await send("/redeliveries", { eventId: event.id });
  } catch (error) {
    output.textContent = error.message;
  }
}
