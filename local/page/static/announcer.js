// Announces to screen readers which phone starts and which stops ringing.
import { phoneName } from "./phones.js";
import { callerName, ringState, stateText } from "./rings.js";

let known = new Map();

export function announceRinging(phones) {
  const current = new Map();
  const messages = [];
  for (const phone of phones) {
    for (const ring of phone.rings) {
      const key = `${phone.id} ${ring.callId}`;
      const rings = ringState(ring) === "ringing";
      if (rings) current.set(key, true);
      if (rings && !known.has(key)) messages.push(`${phoneName(phone)} is ringing: ${callerName(ring)}.`);
      if (!rings && known.has(key)) messages.push(`${phoneName(phone)}: ${stateText(ring)}.`);
    }
  }
  known = current;
  if (messages.length > 0) document.getElementById("announcer").textContent = messages.join(" ");
}
