// The stream of snapshots, and the state of its connection.
const connection = document.getElementById("connection");

function show(state, text) {
  connection.dataset.state = state;
  if (connection.textContent !== text) connection.textContent = text;
}

export function listen(take) {
  const source = new EventSource("/live");
  source.addEventListener("open", () => show("live", "Live"));
  source.addEventListener("error", () => show("lost", "Not connected. Is make run still running?"));
  source.addEventListener("message", (event) => take(JSON.parse(event.data)));
}
