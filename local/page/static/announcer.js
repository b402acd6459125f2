// Says aloud, to who does not see the screen, which phone begins and which stops to ring.
import { phoneName } from "./phones.js";
import { callerName, ringState, stateText } from "./rings.js";

let known = new Map();

export function announceRinging(phones) {
  const current = new Map();
  const said = [];
  for (const phone of phones) {
    for (const ring of phone.rings) {
      const key = `${phone.id} ${ring.callId}`;
      const rings = ringState(ring) === "ringing";
      if (rings) current.set(key, true);
      if (rings && !known.has(key)) said.push(`${phoneName(phone)} is ringing: ${callerName(ring)}.`);
      if (!rings && known.has(key)) said.push(`${phoneName(phone)}: ${stateText(ring)}.`);
    }
  }
  known = current;
  if (said.length > 0) document.getElementById("announcer").textContent = said.join(" ");
}
