// What is said below a form or a button: a result, or an error that looks like one.

export function tell(output, text) {
  delete output.dataset.tone;
  output.textContent = text;
}

export function fail(output, text) {
  output.dataset.tone = "bad";
  output.textContent = text;
}

// Runs `act`; what it returns is told, what it throws is an error.
export async function report(output, act) {
  tell(output, "");
  try {
    tell(output, (await act()) ?? "");
  } catch (error) {
    fail(output, error.message);
  }
}
