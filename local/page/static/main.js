// Connects the parts of the page: every snapshot goes to each of them.
import { announceRinging } from "./announcer.js";
import { relay, setUpBrowser } from "./browser.js";
import { setUpCalls, showCalls } from "./calls.js";
import { setUpFeedback } from "./feedback.js";
import { setUpForms, showForms } from "./forms.js";
import { setUpHub, showHub } from "./hub.js";
import { showLines } from "./lines.js";
import { listen } from "./live.js";
import { setUpOptions, showOptions } from "./options.js";
import { setUpPause, whenRunning } from "./pause.js";
import { showPhones } from "./phones.js";
import { setServerTime, tick } from "./time.js";
import { showInTitle } from "./title.js";

function show(snapshot) {
  showProblem(snapshot.problem);
  showForms(snapshot);
  showPhones(snapshot);
  showHub(snapshot.hub);
  showOptions(snapshot.options);
  showCalls(snapshot.calls);
  showLines(snapshot.lines);
  relay(snapshot.phones);
  announceRinging(snapshot.phones);
  showInTitle(snapshot.phones);
  tick();
}

function showProblem(problem) {
  const banner = document.getElementById("problem");
  banner.hidden = !problem;
  banner.textContent = problem ?? "";
}

// On a narrow screen the phones come before the switches.
document.getElementById("surroundings").open = matchMedia("(min-width: 800px)").matches;
setUpForms();
setUpBrowser();
setUpHub();
setUpOptions();
setUpFeedback();
setUpCalls();
setUpPause();
setInterval(tick, 200);
listen((message) => whenRunning(() => {
  setServerTime(message.now);
  show(message.snapshot);
}));
