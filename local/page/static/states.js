// How a call stands on a phone, in words.

const STOPPED = {
  answered: "Answered on another phone",
  declined: "Declined on another phone",
  ended: "The caller hung up",
};

const TEXTS = {
  ringing: "Incoming call",
  shown: "Incoming call, as a notification",
  answered: "In the call",
  declined: "Call declined",
  ended: "Call ended",
  missed: "Missed call",
  told: "Missed call",
};

export function stateText(call) {
  return call.state === "stopped" ? STOPPED[call.reason] ?? "Stopped ringing" : TEXTS[call.state];
}

export function canAnswer(call) {
  return call?.state === "ringing" || call?.state === "shown";
}
