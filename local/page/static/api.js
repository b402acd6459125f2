// Requests to the page's backend, which has the keys.

// The answer's JSON; throws an Error whose message can be shown.
export async function send(path, body) {
  return ask(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

export async function load(path) {
  return ask(path, {});
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The page’s backend cannot be reached.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.problem ?? `The page’s backend answered ${response.status}.`);
  return answer;
}

// Throws what the app says of a request that it refused.
export function expectStatus(answer, status) {
  if (answer.status === status) return;
  if (answer.problem) throw new Error(answer.problem);
  const body = answer.body ?? {};
  const fields = (body.errors ?? []).map((error) => `${error.field}: ${error.detail}`);
  throw new Error([`${answer.status}`, body.title, fields.join("; ") || body.detail].filter(Boolean).join(" · "));
}
