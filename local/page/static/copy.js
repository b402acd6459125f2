// A button that copies a text.
import { element } from "./dom.js";

const SAID_FOR_MS = 1500;

// `text` makes the text when the button is pressed.
export function copyButton(label, name, text) {
  const button = element("button", { type: "button", class: "quiet copy", "aria-label": name }, label);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not copied";
    }
    setTimeout(() => { button.textContent = label; }, SAID_FOR_MS);
  });
  return button;
}
