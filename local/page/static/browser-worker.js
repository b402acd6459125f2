// The service worker of this browser as a phone: a push becomes a notification, one for each call.
// A stop or a missed call replaces the notification of the ring, since they have its tag.
const RING_EVENTS = new Set([107, 109, 111]);
const STOP_EVENT = 110;
const STOPPED = {
  answered: "Answered on another phone",
  declined: "Declined on another phone",
  ended: "The caller hung up",
};
const shown = new Set();

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => event.waitUntil(show(event.data.json())));

// The page relays what a push service would send; another open page may have relayed it before.
self.addEventListener("message", (event) => {
  if (shown.has(event.data.sequence)) return;
  shown.add(event.data.sequence);
  event.waitUntil(show(event.data.push));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(handOver({ callId: event.notification.tag, action: event.action }));
});

async function show(push) {
  const notification = notificationOf(push);
  if (notification) {
    await self.registration.showNotification(notification.title, { tag: push.callId, ...notification.options });
  }
}

function notificationOf(push) {
  const caller = push.displayName ?? "Unknown caller";
  if (push.eventId === STOP_EVENT) {
    return { title: STOPPED[push.reason] ?? "The call has stopped ringing", options: { silent: true } };
  }
  if (RING_EVENTS.has(push.eventId)) {
    const actions = [{ action: "answered", title: "Answer" }, { action: "declined", title: "Decline" }];
    return { title: caller, options: { body: "Incoming call", requireInteraction: true, renotify: true, actions } };
  }
  return push.event === "missedCall" ? { title: push.title, options: { body: push.body } } : null;
}

// The page answers or declines, since it knows the phone.
async function handOver(message) {
  const [page] = await self.clients.matchAll({ type: "window" });
  if (!page) return;
  await page.focus();
  page.postMessage(message);
}
