// Announces to screen readers which phone starts and which stops ringing.
import { phoneName } from "./phones.js";
import { canAnswer, stateText } from "./states.js";

let known = new Map();

export function announceRinging(phones) {
  const current = new Map();
  const messages = [];
  for (const phone of phones) {
    const key = phone.call ? `${phone.id} ${phone.call.callId}` : "";
    if (canAnswer(phone.call) && !phone.isUninstalled) {
      current.set(key, phone.id);
      if (!known.has(key)) messages.push(`${phoneName(phone)} is ringing: ${phone.call.caller}.`);
    } else if (known.has(key)) {
      messages.push(`${phoneName(phone)}: ${stateText(phone.call).toLowerCase()}.`);
    }
  }
  known = current;
  if (messages.length > 0) document.getElementById("announcer").textContent = messages.join(" ");
}
