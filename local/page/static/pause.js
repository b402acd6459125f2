// Pause: the page stays as it is, and shows the newest snapshot when it goes on.
const button = document.getElementById("pause");
let held = null;

export function setUpPause() {
  button.addEventListener("click", () => {
    const pauses = !isPaused();
    button.setAttribute("aria-pressed", String(pauses));
    button.textContent = pauses ? "Go on" : "Pause";
    if (!pauses && held) held();
    held = null;
  });
}

export function whenRunning(show) {
  if (isPaused()) held = show;
  else show();
}

export function isPaused() {
  return button.getAttribute("aria-pressed") === "true";
}
