// The service worker of calls.js.
const tagOf = (push) => push.callId ?? "call";
const isCall = (push) => push.eventId === 107;

// Browsers want a notification for every push, for a stop as well: it replaces the one of the ring.
function show(push) {
  const tag = tagOf(push);
  if (push.event === "missedCall") {
    return self.registration.showNotification(push.title, { tag, body: push.body, data: push });
  }
  if (push.eventId === 110) {
    const title = push.reason === "answered" ? "Answered on another device" : "Call ended";
    return self.registration.showNotification(title, { tag, silent: true, data: push });
  }
  const name = push.displayName ?? "Unknown caller";
  if (Date.parse(push.ringsUntil) <= Date.now()) {
    return self.registration.showNotification("Missed call", { tag, body: name, silent: true, data: push });
  }
  const options = { tag, body: name, data: push, requireInteraction: true, renotify: true };
  return self.registration.showNotification("Incoming call", options);
}

async function pages() {
  return self.clients.matchAll({ type: "window", includeUncontrolled: true });
}

self.addEventListener("push", (event) => {
  const push = event.data.json();
  const work = async () => {
    await show(push);
    // A page that is open rings by itself, too.
    if (isCall(push)) for (const page of await pages()) page.postMessage(push);
  };
  event.waitUntil(work());
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const push = event.notification.data;
  const work = async () => {
    const [open] = await pages();
    if (open) return open.focus();
    // Not in the URL: the call context is a credential.
    const page = await self.clients.openWindow("/");
    if (isCall(push)) page?.postMessage(push);
  };
  event.waitUntil(work());
});
