// Names for users: a field takes a name, or an MRI.
import { copyButton } from "./copy.js";
import { element, keyed, setText } from "./dom.js";

let known = [];

export function showUsers(users) {
  known = users;
  keyed(document.getElementById("users"), users, (user) => user.mri,
    (user) => element("option", { value: user.name }, user.mri));
}

export function mriOf(text) {
  const wanted = text.trim();
  return known.find((user) => user.name.toLowerCase() === wanted.toLowerCase())?.mri ?? wanted;
}

export function newMri() {
  return `8:acs:${crypto.randomUUID()}_${crypto.randomUUID()}`;
}

// Shows the MRI of the name in a field below it.
export function setUpMri(form, name) {
  const input = form.elements[name];
  const line = form.querySelector(`[data-of="${name}"]`);
  const text = element("span", { class: "mri-text" });
  line.append(text, copyButton("Copy", "Copy the MRI", () => mriOf(input.value)));
  const show = () => {
    const mri = mriOf(input.value);
    line.hidden = mri === input.value.trim();
    setText(text, mri);
    text.title = mri;
  };
  input.addEventListener("input", show);
  return show;
}
