// The server's clock, and the texts of the page that count seconds.
let ahead = 0;

export function setServerTime(seconds) {
  ahead = seconds - Date.now() / 1000;
}

export function now() {
  return Date.now() / 1000 + ahead;
}

export function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB");
}

export function moment(seconds) {
  return new Date(seconds * 1000).toISOString().replace(/\.\d+Z$/, "Z");
}

export function duration(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

export function milliseconds(count) {
  return count < 1000 ? `${count < 10 ? count.toFixed(1).replace(/\.0$/, "") : Math.round(count)} ms` : duration(count / 1000);
}

// A time after the start of a call.
export function offset(seconds) {
  return `${seconds < 0 ? "−" : "+"}${milliseconds(Math.abs(seconds) * 1000)}`;
}

// `data-until` counts down to a time; so does the value of a <progress>.
export function tick() {
  for (const node of document.querySelectorAll("[data-until]")) {
    const left = Math.max(0, Number(node.dataset.until) - now());
    if (node instanceof HTMLProgressElement) node.value = left;
    else put(node, node.dataset.whole ? `${Math.ceil(left)} s` : `in ${duration(left)}`);
  }
  for (const node of document.querySelectorAll("[data-wall-clock]")) put(node, clock(now()).slice(0, 5));
}

function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
