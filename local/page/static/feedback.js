// Runs the app's timer function that forgets the devices which the hub's feedback names.
import { expectStatus, send } from "./api.js";
import { report } from "./outputs.js";

const box = document.getElementById("feedback");

export function setUpFeedback() {
  box.querySelector("button").addEventListener("click", () => report(box.querySelector("output"), async () => {
    expectStatus(await send("/feedback", {}), 202);
    return "ForgetDeadDevices runs.";
  }));
}
