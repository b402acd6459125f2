// A push as the hub has received it: loaded when it is opened.
import { load } from "./api.js";
import { element } from "./dom.js";
import { fail } from "./outputs.js";
import { clock, moment } from "./time.js";

export function pushDetails(sequence) {
  const content = element("div", { class: "push" });
  const details = element("details", {}, element("summary", {}, `Push ${sequence}`), content);
  details.addEventListener("toggle", async () => {
    if (!details.open || content.firstElementChild) return;
    try {
      content.replaceChildren(...shown(await load(`/pushes/${sequence}`)));
    } catch (error) {
      fail(content, error.message);
    }
  });
  return details;
}

function shown(push) {
  const headers = Object.entries(push.headers).map(([name, value]) => `${name}: ${value}`).join("\n");
  const expires = push.expiresAt === null ? "" : `, expires ${moment(push.expiresAt)}`;
  return [
    element("p", { class: "hint" },
      `Arrived ${clock(push.receivedAt)}${expires} · tracking id ${push.trackingId} · notification id ${push.notificationId}`),
    scrollable(`Headers of push ${push.sequence}`, element("pre", { class: "push-headers" }, headers)),
    element("p", { class: "hint" }, `Body, ${push.bodyBytes} bytes`),
    scrollable(`Body of push ${push.sequence}`, element("pre", { class: "push-body" }, push.body)),
  ];
}

// A scrollable region must be reachable by keyboard.
function scrollable(label, child) {
  return element("div", { class: "scrollable", role: "region", "aria-label": label, tabIndex: 0 }, child);
}
