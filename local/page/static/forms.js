// The forms that register a phone and place a call.
import { expectStatus, send } from "./api.js";
import { report } from "./outputs.js";
import { mriOf, newMri, setUpMri, showUsers } from "./users.js";

const register = document.getElementById("register-form");
const call = document.getElementById("call-form");
const hangUp = document.getElementById("hang-up");
const showMris = [];
let inProgress = null;

export function setUpForms() {
  onSubmit(register, registerPhones);
  onSubmit(call, placeCall);
  showMris.push(setUpMri(register, "acsMri"), setUpMri(call, "callee"));
  hangUp.addEventListener("click", () => report(call.querySelector("output"), async () => {
    await send("/calls/end", { callId: inProgress });
    return "The caller has hung up.";
  }));
  document.getElementById("new-user").addEventListener("click", () => {
    register.elements.acsMri.value = newMri();
    register.elements.acsMri.dispatchEvent(new Event("input"));
    register.elements.acsMri.focus();
  });
}

export function showForms({ users, calls }) {
  showUsers(users);
  for (const input of [register.elements.acsMri, call.elements.callee]) {
    if (!input.dataset.filled && users.length > 0) {
      input.value ||= users[0].name;
      input.dataset.filled = "yes";
    }
  }
  for (const show of showMris) show();
  inProgress = calls.find((one) => one.canHangUp)?.callId ?? null;
  hangUp.disabled = inProgress === null;
}

async function registerPhones(fields) {
  const platforms = fields.platform === "all" ? ["apple", "android", "windows"] : [fields.platform];
  const acsMri = mriOf(fields.acsMri);
  let until = "";
  for (const platform of platforms) {
    const wanted = { acsMri, platform };
    if (fields.deviceUuid && platforms.length === 1) wanted.deviceUuid = fields.deviceUuid;
    if (fields.ttlSeconds) wanted.ttlSeconds = Number(fields.ttlSeconds);
    const answer = await send("/phones", wanted);
    expectStatus(answer, 201);
    until = answer.body.expiresAt;
  }
  // The next call is probably for them.
  if (!call.elements.callee.dataset.typed) call.elements.callee.value = fields.acsMri;
  return `${platforms.length === 1 ? "201 · registered" : `${platforms.length} × 201 · registered`} until ${until}`;
}

async function placeCall(fields) {
  await send("/calls", {
    callee: mriOf(fields.callee),
    callerName: fields.callerName,
    schemaName: fields.schemaName,
    ageSeconds: Number(fields.ageSeconds),
  });
  return "The event is being delivered.";
}

function onSubmit(form, act) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    report(form.querySelector("output"), () => act(Object.fromEntries(new FormData(form))));
  });
}
