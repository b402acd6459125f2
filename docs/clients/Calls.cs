// Takes the pushes of WNS and reports. Not compiled. docs/clients.md says what it has to keep.

channel = await PushNotificationChannelManager.CreatePushNotificationChannelForApplicationAsync();
channel.PushNotificationReceived += async (_, args) =>
{
    if (args.NotificationType != PushNotificationType.Raw) return;
    var content = args.RawNotification.Content;
    var data = JsonDocument.Parse(content).RootElement.GetProperty("data");
    var callId = data.TryGetProperty("callId", out var id) ? id.GetString() : null;
    // Before the SDK: a stop is no call. It ends ringing, never an established call.
    if (data.GetProperty("eventId").GetInt32() == 110)
    {
        if (callId != connectedCallId) StopRinging(callId);
        return;
    }
    await callAgent.HandlePushNotificationAsync(PushNotificationDetails.Parse(content));
    await ReportAsync(callId, "ringing");
};

// StringContent has a length; a chunked body is refused.
async Task ReportAsync(string? callId, string state)
{
    var report = new { acsMri, deviceUUID, callId, state };
    using var content = new StringContent(JsonSerializer.Serialize(report), Encoding.UTF8, "application/json");
    using var answer = await client.PostAsync($"{registrar}/report_call", content);
}
