// The switches of what is around the app: redelivery, events of calls, reports of phones.
import { send } from "./api.js";
import { fail } from "./outputs.js";

const group = document.getElementById("options");
const boxes = [...group.querySelectorAll("input")];

export function setUpOptions() {
  for (const box of boxes) box.addEventListener("change", () => set(box));
}

export function showOptions(options) {
  for (const box of boxes) box.checked = options[box.name];
}

async function set(box) {
  const output = group.querySelector("output");
  output.textContent = "";
  try {
    await send("/options", { [box.name]: box.checked });
  } catch (error) {
    fail(output, error.message);
  }
}
