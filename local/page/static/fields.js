// The fields of a log line; those that are lists or objects are written out.
import { element } from "./dom.js";

export function fieldList(fields) {
  return element("dl", { class: "fields" }, ...Object.entries(fields).map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, ...shown(value)))));
}

function shown(value) {
  if (Array.isArray(value)) return value.map((each) => element("p", {}, text(each)));
  return [text(value)];
}

function text(value) {
  if (value === null || typeof value !== "object") return String(value);
  return Object.entries(value).filter(([, each]) => each !== null).map(([name, each]) => `${name}: ${text(each)}`).join(" · ");
}
