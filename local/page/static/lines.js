// The log lines of the app that are about no call.
import { element, rebuild } from "./dom.js";
import { fieldList } from "./fields.js";

const TONES = { INFO: "plain", WARNING: "warn" };

export function showLines(lines) {
  const box = document.getElementById("other-lines");
  box.hidden = lines.length === 0;
  rebuild(box.lastElementChild, lines, (all) => all.map(createLine));
}

function createLine(line) {
  const { event, ...fields } = line.fields;
  return element("div", { class: "line" },
    element("p", {},
      element("span", { class: "badge", "data-tone": TONES[line.level] ?? "bad" }, event),
      " ", element("span", { class: "hint" }, `${line.time} ${line.level}`)),
    fieldList(fields));
}
