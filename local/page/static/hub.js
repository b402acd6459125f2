// The switches for the simulated hub's faults, and its active faults.
import { send } from "./api.js";
import { setText } from "./dom.js";
import { fail } from "./outputs.js";

const form = document.getElementById("hub-form");
const switches = [...form.querySelectorAll("[data-mode]")];

export function setUpHub() {
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of switches) button.addEventListener("click", () => flip(button));
}

export function showHub(hub) {
  const modes = new Set(hub.faults.map(modeOf));
  if (hub.delaySeconds > 0) modes.add("slow");
  for (const button of switches) button.setAttribute("aria-pressed", String(modes.has(button.dataset.mode)));
  setText(document.getElementById("hub-state"), describe(hub));
}

// A second press of a switch removes the faults.
async function flip(button) {
  const output = form.querySelector("output");
  output.textContent = "";
  const mode = button.getAttribute("aria-pressed") === "true" ? "healthy" : button.dataset.mode;
  const times = form.elements.times.value;
  if (!form.reportValidity()) return;
  try {
    await send("/hub", { mode, times: times ? Number(times) : null, seconds: Number(form.elements.seconds.value) });
  } catch (error) {
    fail(output, error.message);
  }
}

function modeOf(fault) {
  if (fault.kind === "slow") return "slow";
  if (fault.kind === "accept_then_drop") return "lost";
  if (fault.kind === "status") return fault.retryAfter === null && fault.status !== 429 ? "failing" : "throttled";
  return null;
}

function describe(hub) {
  const texts = hub.faults.map((fault) => `${sends(fault.times)}: ${effect(fault)}`);
  if (hub.delaySeconds > 0) texts.push(`Every answer takes ${hub.delaySeconds} s`);
  return texts.length === 0 ? "No faults." : `${texts.join("; ")}.`;
}

function sends(times) {
  if (times === null) return "All sends";
  return times === 1 ? "Next send" : `Next ${times} sends`;
}

function effect(fault) {
  const late = fault.delaySeconds > 0 ? ` after ${fault.delaySeconds} s` : "";
  switch (fault.kind) {
    case "status":
      return `${fault.status}${fault.retryAfter === null ? "" : `, Retry-After ${fault.retryAfter} s`}${late}`;
    case "slow":
      return `answered${late}`;
    case "accept_then_drop":
      return `accepted, but the answer is lost${late}`;
    default:
      return `${fault.kind.replaceAll("_", " ")}${late}`;
  }
}
