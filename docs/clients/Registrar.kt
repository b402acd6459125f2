// Workers that register, unregister and report. Not compiled. `Session` is your app's.

/** One request to the registrar. WorkManager keeps what is left over across restarts. */
object Registrar {
    private const val BASE = "https://func-….azurewebsites.net/api"
    private val client = OkHttpClient.Builder().callTimeout(20, TimeUnit.SECONDS).build()

    class Answer(val status: Int, val body: String)

    /** A refused bearer token is replaced once. IOException without an answer. */
    suspend fun send(user: String, build: (Request.Builder) -> Request.Builder, path: String): Answer =
        withContext(Dispatchers.IO) {
            var answer = Answer(0, "")
            for (fresh in listOf(false, true)) {
                val request = build(Request.Builder().url("$BASE/$path"))
                    .header("Authorization", "Bearer ${Session.bearerToken(user, fresh)}").build()
                answer = client.newCall(request).execute().use { Answer(it.code, it.body?.string() ?: "") }
                if (answer.status != 401) break
            }
            answer
        }

    fun json(value: JSONObject) = value.toString().toRequestBody("application/json".toMediaType())

    fun online() = Constraints.Builder().setRequiredNetworkType(NetworkType.CONNECTED).build()
}

class RegistrationWorker(context: Context, parameters: WorkerParameters) : CoroutineWorker(context, parameters) {

    override suspend fun doWork(): Result {
        val user = Session.acsMri ?: return Result.success()
        val device = JSONObject()
            .put("deviceUUID", Session.deviceUuid)
            .put("deviceToken", FirebaseMessaging.getInstance().token.await())
            .put("platform", "android")
        // A Teams user's registration lives for a day at most.
        val isTeamsUser = listOf("8:orgid:", "8:gcch:", "8:dod:").any { user.lowercase().startsWith(it) }
        val body = JSONObject()
            .put("acsMri", user)
            .put("deviceInfos", JSONArray().put(device))
            .put("ttlSeconds", if (isTeamsUser) 86_400 else 2_592_000)
        val answer = try {
            Registrar.send(user, { it.post(Registrar.json(body)) }, "add_device_token")
        } catch (error: IOException) {
            return Result.retry()
        }
        return when (answer.status) {
            201 -> {
                val expiresAt = Instant.parse(JSONObject(answer.body).getString("expiresAt"))
                val life = Duration.between(Instant.now(), expiresAt)
                enqueue(applicationContext, life.multipliedBy(2).dividedBy(3), ExistingWorkPolicy.APPEND_OR_REPLACE)
                Result.success()
            }
            400, 403, 413 -> Result.failure()   // a bug: repeating does not help
            401 -> { Session.signInAgain(); Result.failure() }
            else -> Result.retry()              // WorkManager waits longer each time
        }
    }

    companion object {
        /** At start, after sign-in, and with a new token; again when a third of the life is left. */
        fun enqueue(context: Context, after: Duration = Duration.ZERO, policy: ExistingWorkPolicy = ExistingWorkPolicy.REPLACE) {
            val work = OneTimeWorkRequestBuilder<RegistrationWorker>().setConstraints(Registrar.online())
                .setInitialDelay(after.toMillis(), TimeUnit.MILLISECONDS)
                .setBackoffCriteria(BackoffPolicy.EXPONENTIAL, 10, TimeUnit.SECONDS).build()
            WorkManager.getInstance(context).enqueueUniqueWork("register", policy, work)
        }
    }
}

/** On sign-out. It goes on across restarts until it has worked; keep the old user's bearer token until then. */
class UnregistrationWorker(context: Context, parameters: WorkerParameters) : CoroutineWorker(context, parameters) {

    override suspend fun doWork(): Result {
        val user = inputData.getString("user")!!
        if (user == Session.acsMri) return Result.success()  // the same user is back
        val path = "delete_device_registration?acsMri=${Uri.encode(user)}&deviceUUID=${Uri.encode(Session.deviceUuid)}"
        val answer = try {
            Registrar.send(user, { it.delete() }, path)
        } catch (error: IOException) {
            return Result.retry()
        }
        if (answer.status == 429 || answer.status >= 500) return Result.retry()
        Session.forget(user)
        return Result.success()
    }

    companion object {
        fun enqueue(context: Context, user: String) {
            WorkManager.getInstance(context).cancelUniqueWork("register")
            val work = OneTimeWorkRequestBuilder<UnregistrationWorker>().setConstraints(Registrar.online())
                .setInputData(workDataOf("user" to user))
                .setBackoffCriteria(BackoffPolicy.EXPONENTIAL, 10, TimeUnit.SECONDS).build()
            WorkManager.getInstance(context).enqueueUniqueWork("unregister", ExistingWorkPolicy.APPEND_OR_REPLACE, work)
        }
    }
}

/** Runs at once and tries a few times: after the ring a report has no use. */
class ReportWorker(context: Context, parameters: WorkerParameters) : CoroutineWorker(context, parameters) {

    override suspend fun doWork(): Result {
        val user = Session.acsMri ?: return Result.success()
        val body = JSONObject()
            .put("acsMri", user)
            .put("deviceUUID", Session.deviceUuid)
            .put("callId", inputData.getString("callId"))
            .put("state", inputData.getString("state"))
        val status = try {
            Registrar.send(user, { it.post(Registrar.json(body)) }, "report_call").status
        } catch (error: IOException) {
            503
        }
        return if (status >= 500 && runAttemptCount < 3) Result.retry() else Result.success()
    }

    companion object {
        fun enqueue(context: Context, callId: String, state: String) {
            val work = OneTimeWorkRequestBuilder<ReportWorker>()
                .setExpedited(OutOfQuotaPolicy.RUN_AS_NON_EXPEDITED_WORK_REQUEST)
                .setInputData(workDataOf("callId" to callId, "state" to state)).build()
            WorkManager.getInstance(context).enqueue(work)
        }
    }
}
