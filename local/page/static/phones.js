// The phones: one card per registered device.
import { answerText, send } from "./api.js";
import { element, keyed, setText } from "./dom.js";
import { createRing, updateRing } from "./push.js";
import { ringOnScreen, ringState } from "./rings.js";
import { createScreen, updateScreen } from "./screen.js";
import { moment } from "./time.js";

const NAMES = { apple: "iPhone", fcmv1: "Android phone", windows: "Windows PC" };

export function phoneName(phone) {
  return NAMES[phone.platform] ?? phone.platform;
}

export function showPhones(snapshot) {
  const list = document.getElementById("phone-list");
  keyed(list, snapshot.phones, (phone) => phone.id, createPhone, updatePhone);
  document.getElementById("no-phones").hidden = snapshot.phones.length > 0;
  const more = document.getElementById("more-phones");
  more.hidden = snapshot.morePhones === 0;
  setText(more, `… and ${snapshot.morePhones} more phones, refreshed earlier.`);
  showRingingLink(snapshot.phones);
}

function showRingingLink(phones) {
  const ringing = phones.filter((phone) => phone.rings.some((ring) => ringState(ring) === "ringing")).length;
  const link = document.getElementById("ringing-link");
  link.hidden = ringing === 0;
  setText(link, ringing === 1 ? "1 phone is ringing" : `${ringing} phones are ringing`);
}

function createPhone(phone) {
  const heading = `phone-${phone.id}`;
  const answered = element("output", { role: "status" });
  const name = element("h3", { id: heading }, phoneName(phone));
  return element(
    "article",
    { class: "phone", "aria-labelledby": heading, "data-platform": phone.platform, "data-device": phone.deviceUuid },
    element("div", { class: "phone-top" }, name, element("span", { class: "tag" }, phone.platform)),
    createScreen(),
    element("div", { class: "rings" }),
    element("dl", { class: "facts" }),
    element(
      "div",
      { class: "phone-bottom" },
      element("button", { type: "button", class: "quiet", on: { click: () => remove(phone, answered) } },
        "Remove", element("span", { class: "unseen" }, ` this ${phoneName(phone)}`)),
      answered,
    ),
  );
}

function updatePhone(card, phone) {
  const ring = ringOnScreen(phone);
  card.dataset.state = ring ? ringState(ring) : "idle";
  updateScreen(card.querySelector(".screen"), phone, ring, phoneName(phone));
  const facts = [
    ["User", phone.user],
    ["Device", phone.deviceUuid],
    ["Token", phone.token],
    ["Until", moment(phone.expiresAt)],
  ];
  keyed(card.querySelector(".facts"), facts, ([name]) => name, createFact, updateFact);
  keyed(card.querySelector(".rings"), phone.rings, (each) => each.callId, createRing, updateRing);
}

function createFact([name]) {
  return element("div", {}, element("dt", {}, name), element("dd"));
}

function updateFact(node, [, value]) {
  setText(node.lastElementChild, value);
}

async function remove(phone, output) {
  output.textContent = "";
  try {
    const answer = await send("/phones/removal", { acsMri: phone.user, deviceUuid: phone.deviceUuid });
    if (answer.status !== 200) {
      output.textContent = answerText(answer);
      return;
    }
    // The button is about to be removed: move the keyboard focus.
    document.getElementById("phones-heading").focus();
  } catch (error) {
    output.textContent = error.message;
  }
}
