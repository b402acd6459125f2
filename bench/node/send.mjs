// Sends pushes with @azure/notification-hubs when told to: one order a line in, one answer a line out.
// Its HTTPS connections for the namespace's host lead to the port of the benchmark's hub on this machine; the client
// itself, its pipeline and its keep-alive agent are as they come.
import https from "node:https";
import readline from "node:readline";
import { randomUUID } from "node:crypto";
import { createAppleNotification, NotificationHubsClient } from "@azure/notification-hubs";

const settings = JSON.parse(process.env.BENCH_SETTINGS);

const connect = https.Agent.prototype.createConnection;
https.Agent.prototype.createConnection = function (options, callback) {
  const here = options.host === settings.host ? { host: "127.0.0.1", port: settings.port } : {};
  return connect.call(this, { ...options, ...here }, callback);
};

const client = new NotificationHubsClient(settings.connectionString, settings.hubName);

async function send() {
  const endsAt = new Date(Date.now() + 60_000);
  const expiry = Math.floor(endsAt.getTime() / 1000);
  const data = { eventId: 107, ...settings.values, videoCall: "false" };
  const notification = createAppleNotification({
    body: JSON.stringify({ aps: {}, data }),
    headers: {
      "apns-push-type": "voip",
      "ServiceBusNotification-Apns-Push-Type": "voip",
      "apns-priority": "10",
      "apns-expiration": String(expiry),
      "ServiceBusNotification-Apns-Expiry": new Date(expiry * 1000).toISOString().replace(".000Z", "Z"),
      TrackingId: randomUUID(),
    },
  });
  const deviceHandle = (randomUUID() + randomUUID()).replaceAll("-", "");
  await client.sendNotification(notification, { deviceHandle });
}

async function carryOut({ count, concurrency }) {
  let left = count;
  const takeTurns = async () => {
    while (left-- > 0) await send();
  };
  const cpu = process.cpuUsage();
  const began = process.hrtime.bigint();
  await Promise.all(Array.from({ length: concurrency }, takeTurns));
  const used = process.cpuUsage(cpu); // user and system, all threads, in microseconds
  return {
    wallSeconds: Number(process.hrtime.bigint() - began) / 1e9,
    cpuSeconds: (used.user + used.system) / 1e6,
  };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await carryOut(JSON.parse(line))));
}
