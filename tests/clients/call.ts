// Calls the registrar through a client over the types that openapi-typescript generates, and prints what it answered.
// tests/end_to_end/test_generated_clients.py generates `schema.d.ts` beside it, compiles it and runs it.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const setting = (name: string): string => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is missing`);
  return value;
};
const baseUrl = setting("REGISTRAR_URL");
const acsMri = setting("REGISTRAR_MRI");
const client = createClient<paths>({ baseUrl, headers: { "x-functions-key": setting("REGISTRAR_KEY") } });
const anonymous = createClient<paths>({ baseUrl });

type Request = components["schemas"]["AddDeviceTokenRequest"];
const token = "96d6bb5d412881d30046f5bf5616beaddf6aa4abe57987bccc4b5c23209dbb0c";
const request = (deviceToken: string, purpose: "alerts" | null = null): Request => ({
  acsMri,
  deviceInfos: [{ deviceUUID: "phone", deviceToken, platform: "apple", purpose, hub: null }],
  ttlSeconds: null,
});

const report = (callId: string): components["schemas"]["ReportCallRequest"] => ({
  acsMri,
  deviceUUID: "phone",
  callId,
  state: "ringing",
});

type Answer = { data?: unknown; error?: unknown; response: Response };
const outcome = ({ data, error, response }: Answer) => ({
  status: response.status,
  body: data ?? (error === "" ? null : (error ?? null)),
});

const query = { params: { query: { acsMri } } };
const device = { params: { query: { acsMri, deviceUUID: "phone" } } };
const answers = {
  live: outcome(await anonymous.GET("/health/live")),
  ready: outcome(await anonymous.GET("/health/ready")),
  "without a key": outcome(await anonymous.POST("/add_device_token", { body: request(token) })),
  "bad token": outcome(await client.POST("/add_device_token", { body: request("null") })),
  added: outcome(await client.POST("/add_device_token", { body: request(token) })),
  alerts: outcome(
    await client.POST("/add_device_token", { body: request([...token].reverse().join(""), "alerts") }),
  ),
  found: outcome(await client.GET("/get_device_registrations", query)),
  reported: outcome(await client.POST("/report_call", { body: report(setting("RUNG_CALL")) })),
  "no such call": outcome(await client.POST("/report_call", { body: report("no-call") })),
  deleted: outcome(await client.DELETE("/delete_device_registration", device)),
  "not found": outcome(await client.GET("/get_device_registrations", query)),
  wiped: outcome(await client.DELETE("/delete_user_registrations", query)),
};
process.stdout.write(JSON.stringify(answers));
