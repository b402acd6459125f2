// The page, after sign-in. `session` is yours: the user, a bearer token, a Communication Services credential.
import { CallClient } from "@azure/communication-calling";

const REGISTRAR = "https://func-….azurewebsites.net/api";
const VAPID_PUBLIC_KEY = "B…";

// Kept for this browser. Another browser is another device.
const deviceUUID = (localStorage.deviceUUID ??= crypto.randomUUID());

async function post(path, body) {
  const send = (token) =>
    fetch(`${REGISTRAR}/${path}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: JSON.stringify({ acsMri: session.acsMri, ...body }),
    });
  const answer = await send(await session.bearerToken());
  return answer.status === 401 ? send(await session.bearerToken({ fresh: true })) : answer;
}

export const report = (callId, state) => post("report_call", { deviceUUID, callId, state });

export async function register() {
  // Asks the user; call it from a click the first time.
  if ((await Notification.requestPermission()) !== "granted") return;
  const worker = await navigator.serviceWorker.register("/service-worker.js");
  const subscription = await worker.pushManager.subscribe({
    userVisibleOnly: true,
    applicationServerKey: VAPID_PUBLIC_KEY,
  });
  const deviceToken = JSON.stringify(subscription);
  const answer = await post("add_device_token", {
    deviceInfos: [{ deviceUUID, deviceToken, platform: "web" }],
    ttlSeconds: 2_592_000,
  });
  if (answer.status === 201) {
    const { expiresAt } = await answer.json();
    const life = Date.parse(expiresAt) - Date.now();
    // A timer of a browser holds 24.8 days at most; a page that is opened later registers anyway.
    setTimeout(register, Math.min((life * 2) / 3, 2 ** 31 - 1));
  }
}

export async function start() {
  const agent = await new CallClient().createCallAgent(await session.credential());
  navigator.serviceWorker.addEventListener("message", async ({ data }) => {
    await agent.handlePushNotification({ incomingCallContext: data.incomingCallContext });
    await report(data.callId, "ringing");
  });
  navigator.serviceWorker.startMessages();
  await register();
}
