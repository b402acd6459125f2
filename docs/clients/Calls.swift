// PushKit, CallKit and the Calling SDK. Not compiled. docs/clients.md says what it has to keep.

import AzureCommunicationCalling
import BackgroundTasks
import CallKit
import PushKit

final class Calls: NSObject, PKPushRegistryDelegate {
    static let shared = Calls()
    private let registry = PKPushRegistry(queue: .main)
    private var agent: CallAgent?

    func start() {  // from application(_:didFinishLaunchingWithOptions:)
        registry.delegate = self
        registry.desiredPushTypes = [.voIP]
        BGTaskScheduler.shared.register(forTaskWithIdentifier: Registrar.refreshTask, using: nil) { task in
            Task {
                await Registrar.shared.register()
                task.setTaskCompleted(success: true)
            }
        }
        UIApplication.shared.registerForRemoteNotifications()  // the token for alerts
    }

    func pushRegistry(_ registry: PKPushRegistry, didUpdate credentials: PKPushCredentials, for type: PKPushType) {
        Task { await Registrar.shared.tokenChanged(to: credentials.token, for: "calls") }
    }

    func pushRegistry(_ registry: PKPushRegistry, didInvalidatePushTokenFor type: PKPushType) {
        Task { await Registrar.shared.unregister() }
    }

    // Up to iOS 26.3.
    func pushRegistry(_ registry: PKPushRegistry, didReceiveIncomingPushWith payload: PKPushPayload,
                      for type: PKPushType, completion: @escaping () -> Void) {
        receive(payload.dictionaryPayload, mustReport: true, completion: completion)
    }

    @available(iOS 26.4, *)
    func pushRegistry(_ registry: PKPushRegistry, didReceiveIncomingVoIPPushWith payload: PKPushPayload,
                      metadata: PKVoIPPushMetadata, withCompletionHandler completion: @escaping () -> Void) {
        receive(payload.dictionaryPayload, mustReport: metadata.mustReport, completion: completion)
    }

    private func receive(_ payload: [AnyHashable: Any], mustReport: Bool, completion: @escaping () -> Void) {
        let data = payload["data"] as? [AnyHashable: Any] ?? [:]
        if data["eventId"] as? Int == 110 {
            // Only if the server's StopRinging has apple. Where it must be reported, CallKit knows the call as ringing.
            if !mustReport { return completion() }
        }
        let info = PushNotificationInfo.fromDictionary(payload)
        let callId = data["callId"] as? String ?? ""
        if let agent {
            // An agent made with CallKitOptions reports the call itself.
            agent.handlePush(notification: info) { _ in completion() }
            Task { await Registrar.shared.report("ringing", callId: callId) }
            return
        }
        // The app was not running: report now, make the agent afterwards.
        CallClient.reportIncomingCall(with: info, callKitOptions: callKitOptions()) { error in
            completion()
            guard error == nil else { return }
            Task { await Registrar.shared.report("ringing", callId: callId) }
            Task {
                self.agent = try? await self.makeAgent()
                self.agent?.handlePush(notification: info) { _ in }
            }
        }
    }

    private func callKitOptions() -> CallKitOptions {
        let configuration = CXProviderConfiguration()
        configuration.supportsVideo = true
        configuration.maximumCallGroups = 1
        configuration.supportedHandleTypes = [.generic]
        let options = CallKitOptions(with: configuration)
        options.provideRemoteInfo = { caller in
            let remote = CallKitRemoteInfo()
            remote.displayName = caller.displayName
            remote.handle = CXHandle(type: .generic, value: caller.identifier.rawId)
            return remote
        }
        return options
    }

    private func makeAgent() async throws -> CallAgent {
        let options = CallAgentOptions()
        options.callKitOptions = callKitOptions()
        let credential = try await Session.shared.communicationTokenCredential()  // yours: from your backend
        return try await CallClient().createCallAgent(userCredential: credential, options: options)
    }
}
