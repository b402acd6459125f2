// The title of the tab and its icon say that phones are ringing.
const icon = document.getElementById("icon");

export function showInTitle(phones) {
  const ringing = phones.filter((phone) => phone.call?.state === "ringing" || phone.call?.state === "shown").length;
  document.title = ringing === 0 ? "See it ring" : `(${ringing}) Ringing · See it ring`;
  const href = ringing === 0 ? "/icon.svg" : "/icon-ringing.svg";
  if (icon.getAttribute("href") !== href) icon.setAttribute("href", href);
  const link = document.getElementById("ringing-link");
  link.hidden = ringing === 0;
  link.textContent = ringing === 1 ? "1 phone is ringing" : `${ringing} phones are ringing`;
}
