// Takes the pushes of Firebase. Not compiled. docs/clients.md says what it has to keep.

class CallMessagingService : FirebaseMessagingService() {

    override fun onNewToken(token: String) {
        RegistrationWorker.enqueue(applicationContext)
    }

    override fun onMessageReceived(message: RemoteMessage) {
        val data = message.data
        val callId = data["callId"] ?: ""
        // Before the SDK: a stop is no call.
        when (data["eventId"]) {
            "107" -> if (Seen.firstTime(callId)) ring(data, callId)
            // It ends ringing, never an established call.
            "110" -> if (!CallAgents.isConnected(callId)) CallNotifications.cancel(applicationContext, tag = callId)
        }
    }

    private fun ring(data: Map<String, String>, callId: String) {
        val info = PushNotificationInfo.fromMap(data)
        // Shows the incoming call itself, with a foreground service of the type phoneCall, before anything slow.
        CallNotifications.ring(applicationContext, data["displayName"], tag = callId)
        ReportWorker.enqueue(applicationContext, callId, "ringing")
        try {
            CallAgents.get(applicationContext).handlePushNotification(info).get(15, TimeUnit.SECONDS)
        } catch (error: Exception) {
            // Not the error's text: it may quote the push.
            Log.w("Calls", "the push was not handled: ${error.javaClass.simpleName}")
            CallNotifications.cancel(applicationContext, tag = callId)
        }
    }
}

/** A call's second push is no second call. */
object Seen {
    private val calls = LinkedHashSet<String>()

    @Synchronized
    fun firstTime(callId: String): Boolean {
        if (calls.size > 50) calls.remove(calls.first())
        return callId.isEmpty() || calls.add(callId)
    }
}
