// Connects the parts of the page: every snapshot goes to each of them.
import { announceRinging } from "./announcer.js";
import { showEvents } from "./events.js";
import { setUpForms, showUsers } from "./forms.js";
import { setUpHub, showHub } from "./hub.js";
import { listen } from "./live.js";
import { showPhones } from "./phones.js";
import { ringState } from "./rings.js";
import { now, setServerTime, tick } from "./time.js";

let nextExpiry;

function show(snapshot) {
  showProblem(snapshot.problem);
  showUsers(snapshot.phones);
  showPhones(snapshot);
  showHub(snapshot.hub);
  showEvents(snapshot);
  announceRinging(snapshot.phones);
  tick();
  showAgainAtExpiry(snapshot);
}

function showProblem(problem) {
  const banner = document.getElementById("problem");
  banner.hidden = !problem;
  banner.textContent = problem ?? "";
}

// A ring ends when its push expires, without a new snapshot.
function showAgainAtExpiry(snapshot) {
  clearTimeout(nextExpiry);
  const rings = snapshot.phones.flatMap((phone) => phone.rings);
  const ends = rings.filter((ring) => ringState(ring) === "ringing").map((ring) => ring.expiresAt);
  if (ends.length > 0) {
    nextExpiry = setTimeout(() => show(snapshot), Math.max(0, Math.min(...ends) - now()) * 1000 + 20);
  }
}

setUpForms();
setUpHub();
setInterval(tick, 200);
listen((message) => {
  setServerTime(message.now);
  show(message.snapshot);
});
