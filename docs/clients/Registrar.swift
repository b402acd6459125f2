// Registers, refreshes, unregisters, reports. Not compiled. `Session` is your app's.

import Foundation
import BackgroundTasks
import Security

actor Registrar {
    static let shared = Registrar()
    static let refreshTask = "com.example.calling.registration"
    private let base = URL(string: "https://func-….azurewebsites.net/api/")!
    private let store = UserDefaults.standard
    private var tokens: [String: String] = [:]  // by purpose; iOS hands them out at every start

    func tokenChanged(to token: Data, for purpose: String) async {
        tokens[purpose] = token.map { String(format: "%02x", $0) }.joined()
        await register()
    }

    /// At start, after sign-in, with a new token, when the app becomes active after `refreshAt`, and in the background.
    func register() async {
        await unregisterIfLeftOver()
        guard let user = Session.shared.acsMri else { return }
        // The token for calls first: one for alerts counts only beside it.
        for purpose in ["calls", "alerts"] {
            guard let token = tokens[purpose] else { continue }
            let device = ["deviceUUID": deviceUUID, "deviceToken": token, "platform": "apple", "purpose": purpose]
            // A Teams user's registration lives for a day at most.
            let isTeamsUser = ["8:orgid:", "8:gcch:", "8:dod:"].contains { user.lowercased().hasPrefix($0) }
            let body: [String: Any] = [
                "acsMri": user, "deviceInfos": [device], "ttlSeconds": isTeamsUser ? 86_400 : 2_592_000,
            ]
            let answer = await send("POST", "add_device_token", of: user, body: body)
            switch answer.status {
            case 201: refresh(in: answer.expiresAt.timeIntervalSinceNow * 2 / 3, failures: 0)
            case 400, 403, 413: break                     // a bug: repeating does not help
            case 401: await Session.shared.signInAgain()  // a new bearer token was refused too
            default:
                let failures = store.integer(forKey: "failures") + 1
                let wait = max(answer.retryAfter, min(5 * pow(2, Double(failures - 1)), 3_600))
                refresh(in: wait * Double.random(in: 1...1.2), failures: failures)
            }
        }
    }

    /// On sign-out, before the user's bearer token is thrown away.
    func unregister() async {
        guard let user = Session.shared.acsMri else { return }
        store.set(user, forKey: "unregisterAtNextStart")
        await unregisterIfLeftOver()
    }

    /// What a sign-out without a network has left behind. Keep the old user's bearer token until it is done.
    private func unregisterIfLeftOver() async {
        guard let user = store.string(forKey: "unregisterAtNextStart") else { return }
        if user == Session.shared.acsMri && Session.shared.isSignedIn {
            store.removeObject(forKey: "unregisterAtNextStart")  // the same user is back
            return
        }
        let query = [URLQueryItem(name: "acsMri", value: user), URLQueryItem(name: "deviceUUID", value: deviceUUID)]
        let answer = await send("DELETE", "delete_device_registration", of: user, query: query)
        if [200, 404, 400, 401, 403].contains(answer.status) {  // done, or nothing that a repetition would change
            store.removeObject(forKey: "unregisterAtNextStart")
            Session.shared.forget(user)
        }
    }

    /// Tries for a few seconds: after the ring a report has no use.
    func report(_ state: String, callId: String) async {
        guard let user = Session.shared.acsMri else { return }
        let body = ["acsMri": user, "deviceUUID": deviceUUID, "callId": callId, "state": state]
        for wait in [0.0, 1, 3] {
            try? await Task.sleep(for: .seconds(wait))
            let status = await send("POST", "report_call", of: user, body: body).status
            if status != 0 && status < 500 { return }
        }
    }

    private func refresh(in seconds: TimeInterval, failures: Int) {
        let at = Date().addingTimeInterval(seconds)
        store.set(at, forKey: "refreshAt")
        store.set(failures, forKey: "failures")
        let request = BGAppRefreshTaskRequest(identifier: Self.refreshTask)
        request.earliestBeginDate = at
        try? BGTaskScheduler.shared.submit(request)
    }

    private struct Answer {
        var status = 0  // 0: none came
        var expiresAt = Date()
        var retryAfter: TimeInterval = 0
    }

    private func send(_ method: String, _ path: String, of user: String, query: [URLQueryItem] = [],
                      body: [String: Any]? = nil) async -> Answer {
        var answer = Answer()
        for isSecondTry in [false, true] {
            var request = URLRequest(url: base.appending(path: path).appending(queryItems: query), timeoutInterval: 20)
            request.httpMethod = method
            request.httpBody = body.flatMap { try? JSONSerialization.data(withJSONObject: $0) }
            request.setValue("application/json", forHTTPHeaderField: "Content-Type")
            let token = await Session.shared.bearerToken(of: user, fresh: isSecondTry)
            request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization")
            guard let (data, response) = try? await URLSession.shared.data(for: request),
                  let http = response as? HTTPURLResponse else { return Answer() }
            answer.status = http.statusCode
            answer.retryAfter = http.value(forHTTPHeaderField: "Retry-After").flatMap(TimeInterval.init) ?? 0
            let members = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
            let expiresAt = members?["expiresAt"] as? String ?? ""
            answer.expiresAt = ISO8601DateFormatter().date(from: expiresAt) ?? Date()
            if answer.status != 401 { return answer }
        }
        return answer
    }

    /// In the keychain, for this device only: a backup would carry it to the next phone.
    private var deviceUUID: String {
        let item: [CFString: Any] = [kSecClass: kSecClassGenericPassword, kSecAttrAccount: "deviceUUID"]
        var found: CFTypeRef?
        let search = item.merging([kSecReturnData: true]) { $1 } as CFDictionary
        if SecItemCopyMatching(search, &found) == errSecSuccess, let data = found as? Data {
            return String(decoding: data, as: UTF8.self)
        }
        let made = UUID().uuidString
        let new = item.merging([
            kSecValueData: Data(made.utf8),
            kSecAttrAccessible: kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly,
        ]) { $1 } as CFDictionary
        SecItemAdd(new, nil)
        return made
    }
}
