// Commands to the page's backend, which has the keys.

// The answer's JSON; throws an Error whose message can be shown.
export async function send(path, body) {
  let response;
  try {
    response = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error("The page’s backend cannot be reached.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.problem ?? `The page’s backend answered ${response.status}.`);
  return answer;
}

// The app's answer to a registration or a removal, in one line.
export function answerText(answer) {
  if (answer.problem) return answer.problem;
  const body = answer.body ?? {};
  const fields = (body.errors ?? []).map((error) => `${error.field}: ${error.detail}`);
  return [`${answer.status}`, body.title, fields.join("; ") || body.detail].filter(Boolean).join(" · ");
}
