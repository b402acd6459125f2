// The state of a call on one phone, and its texts.
import { now } from "./time.js";

const TEXTS = {
  ringing: "ringing",
  accepted: "accepted",
  declined: "declined",
  ended: "ended",
  elsewhere: "answered on another phone",
  missed: "missed: the push has expired",
  waiting: "no push has arrived",
};

export function ringState(ring) {
  if (ring.answer) return ring.answer;
  if (ring.pushes.length === 0) return "waiting";
  return ring.expiresAt !== null && now() < ring.expiresAt ? "ringing" : "missed";
}

export function stateText(ring) {
  return TEXTS[ringState(ring)];
}

export function callerName(ring) {
  return ring.caller || (ring.pushes.length > 0 ? "Unknown caller" : "A call");
}

export function rungText(ring) {
  const times = ring.pushes.length;
  if (times === 0) return "not rung";
  return times === 1 ? "rung once" : `rung ${times} times`;
}

const FAULTS = {
  drop: "connection lost",
  black_hole: "no answer",
  accept_then_drop: "accepted, answer lost",
  accept_then_black_hole: "accepted, no answer",
};

export function attemptText(attempt) {
  return FAULTS[attempt.result] ?? attempt.result;
}

// The call on the phone's screen: the newest ringing one, else the newest accepted one.
export function ringOnScreen(phone) {
  return (
    phone.rings.find((ring) => ringState(ring) === "ringing") ??
    phone.rings.find((ring) => ringState(ring) === "accepted") ??
    null
  );
}
