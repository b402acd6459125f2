// The phones: one card per registered device.
import { expectStatus, send } from "./api.js";
import { isThisBrowser } from "./browser.js";
import { copyButton } from "./copy.js";
import { element, keyed, rebuild, setText } from "./dom.js";
import { report } from "./outputs.js";
import { createScreen, updateScreen } from "./screen.js";
import { moment } from "./time.js";

export function phoneName(phone) {
  return `${phone.nickname}’s ${phone.name}`;
}

export function showPhones(snapshot) {
  const list = document.getElementById("phone-list");
  keyed(list, snapshot.phones, (phone) => phone.id, createPhone, updatePhone);
  document.getElementById("no-phones").hidden = snapshot.phones.length > 0;
  const more = document.getElementById("more-phones");
  more.hidden = snapshot.morePhones === 0;
  setText(more, `… and ${snapshot.morePhones} more registrations, refreshed earlier.`);
}

function createPhone(phone) {
  const heading = `phone-${phone.id}`;
  return element(
    "article",
    { class: "phone", id: phone.id, "aria-labelledby": heading, "data-platform": phone.platform, "data-device": phone.deviceUuid },
    element("h3", { id: heading, tabIndex: -1 }, phoneName(phone)),
    createScreen(),
    isThisBrowser(phone) ? element("p", { class: "hint" }, "This very browser") : null,
    element("details", { class: "phone-details" },
      element("summary", {}, "Details", element("span", { class: "unseen" }, ` of ${phoneName(phone)}`)),
      element("dl", { class: "facts" }),
      actions(phone)),
  );
}

function actions(phone) {
  const output = element("output", { role: "status" });
  const remove = element("button", { type: "button", class: "quiet" },
    "Remove", element("span", { class: "unseen" }, ` ${phoneName(phone)}`));
  remove.addEventListener("click", () => report(output, async () => {
    expectStatus(await send("/phones/removal", { acsMri: phone.user, deviceUuid: phone.deviceUuid }), 200);
    // The button is about to be removed: move the keyboard focus.
    document.getElementById("phones-heading").focus();
  }));
  const uninstall = element("button", { type: "button", class: "quiet uninstall" },
    "Uninstall", element("span", { class: "unseen" }, ` the app of ${phoneName(phone)}`));
  uninstall.addEventListener("click", () => report(output, async () => {
    await send("/phones/uninstallation", { phoneId: phone.id });
    return "The platform refuses its pushes from now on.";
  }));
  const install = element("button", { type: "button", class: "quiet install" },
    "Install again", element("span", { class: "unseen" }, ` the app of ${phoneName(phone)}`));
  install.addEventListener("click", () => report(output, async () => {
    const platform = phone.platform === "fcmv1" ? "android" : phone.platform;
    expectStatus(await send("/phones", { acsMri: phone.user, platform, deviceUuid: phone.deviceUuid }), 201);
    return "Registered with a new token.";
  }));
  return element("div", { class: "phone-actions" },
    copyButton("Copy MRI", `Copy the MRI of ${phone.nickname}`, () => phone.user),
    copyButton("Copy UUID", `Copy the UUID of ${phoneName(phone)}`, () => phone.deviceUuid),
    uninstall, install, remove, output);
}

function updatePhone(card, phone) {
  card.dataset.state = phone.isUninstalled ? "uninstalled" : phone.call?.state ?? "idle";
  card.querySelector(".uninstall").hidden = phone.isUninstalled;
  card.querySelector(".install").hidden = !phone.isUninstalled || phone.platform === "browser";
  updateScreen(card.querySelector(".screen"), phone, phoneName(phone));
  const facts = [["User", phone.user], ["Device", phone.deviceUuid]];
  for (const token of phone.tokens) {
    facts.push([`For ${token.purpose}`, `${token.token}, hub ${token.hub}, until ${moment(token.expiresAt)}${token.gone ? ", gone" : ""}`]);
  }
  rebuild(card.querySelector(".facts"), facts, (all) => all.map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value))));
}
