// The forms that register a phone and place a call.
import { answerText, send } from "./api.js";
import { element, keyed } from "./dom.js";

const DEFAULT_USER =
  "8:acs:1b5cc06b-f352-4571-b1e6-d9b259b7c776_00000017-1f0a-5b2e-8a5d-084822001234";

export function setUpForms() {
  const register = document.getElementById("register-form");
  const call = document.getElementById("call-form");
  register.elements.acsMri.value ||= DEFAULT_USER;
  call.elements.callee.value ||= DEFAULT_USER;
  onSubmit(register, registerPhones);
  onSubmit(call, placeCall);
  document.getElementById("redeliver-last").addEventListener("click", () => {
    report(call, async () => {
      await send("/redeliveries", {});
      return "The last event is being delivered again.";
    });
  });
}

// Suggests the users that have a phone in every field for a user.
export function showUsers(phones) {
  const users = [...new Set(phones.map((phone) => phone.user))];
  keyed(document.getElementById("users"), users, (user) => user, (user) => element("option", { value: user }));
}

async function registerPhones(fields) {
  const platforms = fields.platform === "all" ? ["apple", "android", "windows"] : [fields.platform];
  const answers = [];
  for (const platform of platforms) {
    const wanted = { acsMri: fields.acsMri, platform };
    if (fields.deviceUuid && platforms.length === 1) wanted.deviceUuid = fields.deviceUuid;
    if (fields.ttlSeconds) wanted.ttlSeconds = Number(fields.ttlSeconds);
    answers.push(await send("/phones", wanted));
  }
  const refused = answers.find((answer) => answer.status !== 201);
  if (refused) return answerText(refused);
  const { expiresAt } = answers[0].body;
  return `${answers.length === 1 ? "201 · registered" : `${answers.length} × 201 · registered`} until ${expiresAt}`;
}

async function placeCall(fields) {
  await send("/calls", {
    callee: fields.callee,
    callerName: fields.callerName,
    schemaName: fields.schemaName,
    ageSeconds: Number(fields.ageSeconds),
  });
  return "The event is being delivered.";
}

function onSubmit(form, act) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    report(form, () => act(Object.fromEntries(new FormData(form))));
  });
}

async function report(form, act) {
  const output = form.querySelector("output");
  output.textContent = "…";
  try {
    output.textContent = await act();
  } catch (error) {
    output.textContent = error.message;
  }
}
