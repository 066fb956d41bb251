// https://curl.se/libcurl/c/
// The only file that knows libcurl.

import CCurl
import Glibc
import Synchronization
package import SystemIO
import SystemPackage

/// Sends requests with libcurl, on the threads of a pool.
///
/// Each running request has an easy handle to itself; idle handles are kept with their open connections. Names and TLS sessions
/// are shared among all (connections are not: libcurl cannot share these between threads).
package final class CurlTransport: HTTPTransport {
    private let pool: BlockingPool
    private let settings: TransportSettings
    private let share: CurlShare
    private let authorities: AuthorityFolders
    private let idle = Mutex<[CurlHandle]>([])

    /// - Parameter pool: bounds how many requests run at the same time.
    package init(pool: BlockingPool, settings: TransportSettings) {
        self.pool = pool
        self.settings = settings
        authorities = AuthorityFolders(settings.trust.authoritiesDirectories)
        share = CurlShare()
    }

    package func send(_ request: HTTPRequest) async throws(RegistryError) -> HTTPResponse {
        let cancellation = Cancellation()
        let result: Result<HTTPResponse, RegistryError> = await withTaskCancellationHandler {
            await pool.run { [self] in
                do throws(RegistryError) {
                    return .success(try perform(request, cancellation))
                } catch {
                    return .failure(error)
                }
            }
        } onCancel: {
            cancellation.cancel()
        }
        return try result.get()
    }

    private func perform(_ request: HTTPRequest, _ cancellation: Cancellation) throws(RegistryError) -> HTTPResponse {
        guard !cancellation.isCancelled else { throw .cancelled() }
        // A handle that last spoke to this server has a connection open.
        let kept = idle.withLock { idle -> CurlHandle? in
            guard !idle.isEmpty else { return nil }
            let index = idle.lastIndex { $0.lastOrigin == request.url.origin } ?? idle.count - 1
            return idle.remove(at: index)
        }
        let handle = kept ?? CurlHandle(share: share)
        defer { idle.withLock { $0.append(handle) } }
        let transfer = CurlTransfer(request, cancellation, settings.timeouts)
        return try handle.perform(transfer, settings, authorities)
    }
}

/// What the handles have in common: resolved names and TLS sessions.
///
/// @unchecked: libcurl takes the locks below around every use.
private final class CurlShare: @unchecked Sendable {
    fileprivate let raw: UnsafeMutableRawPointer
    private let locks: UnsafeMutablePointer<pthread_mutex_t>
    private static let lockCount = Int(CURL_LOCK_DATA_LAST.rawValue)

    /// libcurl's own initialisation, once a process and before any thread uses it.
    private static let initialised: Bool = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK

    init() {
        guard CurlShare.initialised, let raw = curl_share_init() else { fatalError("libcurl cannot start") }
        self.raw = raw
        locks = .allocate(capacity: CurlShare.lockCount)
        for index in 0..<CurlShare.lockCount { pthread_mutex_init(locks + index, nil) }
        _ = imgbuild_curl_share_locks(
            raw,
            { _, data, _, locks in
                guard let locks else { return }
                pthread_mutex_lock(locks.assumingMemoryBound(to: pthread_mutex_t.self) + Int(data.rawValue))
            },
            { _, data, locks in
                guard let locks else { return }
                pthread_mutex_unlock(locks.assumingMemoryBound(to: pthread_mutex_t.self) + Int(data.rawValue))
            }, locks)
        _ = imgbuild_curl_share_data(raw, CURL_LOCK_DATA_DNS)
        _ = imgbuild_curl_share_data(raw, CURL_LOCK_DATA_SSL_SESSION)
    }

    deinit {
        curl_share_cleanup(raw)
        for index in 0..<CurlShare.lockCount { pthread_mutex_destroy(locks + index) }
        locks.deallocate()
    }
}

/// One easy handle and its connections.
///
/// @unchecked: a handle is used by one thread at a time; it moves between threads through the transport's list.
private final class CurlHandle: @unchecked Sendable {
    private let raw: UnsafeMutableRawPointer
    private let share: CurlShare
    private(set) var lastOrigin = ""

    init(share: CurlShare) {
        guard let raw = curl_easy_init() else { fatalError("libcurl has no memory for a handle") }
        self.raw = raw
        self.share = share
    }

    deinit {
        curl_easy_cleanup(raw)
    }

    func perform(
        _ transfer: CurlTransfer, _ settings: TransportSettings, _ authorities: AuthorityFolders
    ) throws(RegistryError) -> HTTPResponse {
        let request = transfer.request
        lastOrigin = request.url.origin
        curl_easy_reset(raw)
        var errorText = [CChar](repeating: 0, count: Int(CURL_ERROR_SIZE))
        let headers = try headerList(request, settings)
        defer { curl_slist_free_all(headers) }
        let connections = settings.connections.reduce(nil) { curl_slist_append($0, $1) }
        defer { curl_slist_free_all(connections) }
        let code = errorText.withUnsafeMutableBufferPointer { buffer in
            // libcurl writes its explanation here while it runs.
            set(CURLOPT_ERRORBUFFER, pointer: buffer.baseAddress)
            set(CURLOPT_SHARE, pointer: share.raw)
            configure(request, settings, authorities)
            imgbuild_curl_set_list(raw, CURLOPT_HTTPHEADER, headers)
            imgbuild_curl_set_list(raw, CURLOPT_CONNECT_TO, connections)
            install(transfer)
            return withExtendedLifetime(transfer) { curl_easy_perform(raw) }
        }
        set(CURLOPT_ERRORBUFFER, pointer: nil)
        if let failure = transfer.failure { throw failure }
        if let length = errorText.firstIndex(of: 0) { errorText.removeSubrange(length...) }
        let text = String(decoding: errorText.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard code == CURLE_OK || transfer.isCutShort else { throw explain(code, text, transfer, settings) }
        var wait: curl_off_t = 0
        imgbuild_curl_get_offset(raw, CURLINFO_RETRY_AFTER, &wait)
        return HTTPResponse(
            head: transfer.head, body: transfer.body, url: request.url,
            // A year is beyond any patience, and a server may name any number.
            retryAfter: wait > 0 ? .seconds(min(Int64(wait), 365 * 86400)) : nil)
    }

    private func headerList(
        _ request: HTTPRequest, _ settings: TransportSettings
    ) throws(RegistryError) -> UnsafeMutablePointer<curl_slist>? {
        var list: UnsafeMutablePointer<curl_slist>?
        for (name, value) in request.headers {
            // A line end in a value would let it add headers of its own.
            guard value.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
                curl_slist_free_all(list)
                throw RegistryError(
                    .configuration, request: request.summary,
                    message: "the value for the header \(name) holds a control character")
            }
            list = curl_slist_append(list, value.isEmpty ? "\(name);" : "\(name): \(value)")
        }
        return list
    }

    private func configure(
        _ request: HTTPRequest, _ settings: TransportSettings, _ authorities: AuthorityFolders
    ) {
        set(CURLOPT_URL, string: request.url.text)
        set(CURLOPT_PROTOCOLS_STR, string: "http,https")
        set(CURLOPT_FOLLOWLOCATION, 0)
        set(CURLOPT_PATH_AS_IS, 1)
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_USERAGENT, string: settings.userAgent)
        set(CURLOPT_CONNECTTIMEOUT_MS, settings.timeouts.connect.milliseconds)
        if let whole = settings.timeouts.whole { set(CURLOPT_TIMEOUT_MS, whole.milliseconds) }
        set(CURLOPT_TCP_KEEPALIVE, 1)
        set(CURLOPT_BUFFERSIZE, 256 * 1024)
        set(CURLOPT_UPLOAD_BUFFERSIZE, 512 * 1024)
        // An empty proxy keeps libcurl from looking into the environment for one.
        set(CURLOPT_PROXY, string: (request.url.scheme == .https ? settings.proxy.https : settings.proxy.http) ?? "")
        set(CURLOPT_NOPROXY, string: settings.proxy.exceptions ?? "")
        configureTrust(for: request.url, settings.trust, authorities)
        // Blobs go over HTTP/1.1, each on a connection of its own: no slower than HTTP/2 (measured), and
        // "Expect: 100-continue" lets a registry refuse a large upload before it is sent.
        var isBlob = false
        if case .receiver = request.sink { isBlob = true }
        if case .file = request.body { isBlob = true }
        set(CURLOPT_HTTP_VERSION, isBlob ? Int(CURL_HTTP_VERSION_1_1) : Int(CURL_HTTP_VERSION_2TLS))
        switch (request.method, request.body) {
        case (.head, _):
            set(CURLOPT_NOBODY, 1)
        case (.get, _):
            set(CURLOPT_HTTPGET, 1)
        case (.delete, _):
            set(CURLOPT_CUSTOMREQUEST, string: "DELETE")
        case (.post, let body), (.put, let body), (.patch, let body):
            set(CURLOPT_UPLOAD, 1)
            set(CURLOPT_CUSTOMREQUEST, string: request.method.rawValue)
            imgbuild_curl_set_offset(raw, CURLOPT_INFILESIZE_LARGE, curl_off_t(body.count))
        }
    }

    private func configureTrust(
        for url: HTTPURL, _ trust: TransportSettings.Trust, _ authorities: AuthorityFolders
    ) {
        guard url.scheme == .https else { return }
        let bundle = trust.entry(of: trust.hostAuthorities, for: url) ?? trust.authoritiesFile
        if !authorities.isEmpty {
            // In memory they would take the place of a bundle in a file, so that is read, too.
            let usual = imgbuild_curl_usual_authorities().map { FilePath(String(cString: $0)) }
            var all = (bundle ?? usual).flatMap(AuthorityFolders.read) ?? []
            all += [UInt8(ascii: "\n")] + authorities.certificates()
            all.withUnsafeMutableBytes {
                _ = imgbuild_curl_set_copied_bytes(raw, CURLOPT_CAINFO_BLOB, $0.baseAddress, $0.count)
            }
        } else if let bundle {
            bundle.withPlatformString { set(CURLOPT_CAINFO, string: $0) }
        }
        if let identity = trust.entry(of: trust.clientIdentities, for: url) {
            identity.certificate.withPlatformString { set(CURLOPT_SSLCERT, string: $0) }
            identity.key.withPlatformString { set(CURLOPT_SSLKEY, string: $0) }
        }
        if !trust.verifies(url) {
            set(CURLOPT_SSL_VERIFYPEER, 0)
            set(CURLOPT_SSL_VERIFYHOST, 0)
        }
    }

    private func install(_ transfer: CurlTransfer) {
        let context = Unmanaged.passUnretained(transfer).toOpaque()
        for option in [CURLOPT_WRITEDATA, CURLOPT_HEADERDATA, CURLOPT_READDATA, CURLOPT_SEEKDATA, CURLOPT_XFERINFODATA]
        {
            set(option, pointer: context)
        }
        imgbuild_curl_set_data_callback(raw, CURLOPT_HEADERFUNCTION) { bytes, _, count, context in
            CurlTransfer.at(context)?.takeHeader(UnsafeRawBufferPointer(start: bytes, count: count)) ?? 0
        }
        imgbuild_curl_set_data_callback(raw, CURLOPT_WRITEFUNCTION) { bytes, _, count, context in
            CurlTransfer.at(context)?.takeBody(UnsafeRawBufferPointer(start: bytes, count: count)) ?? 0
        }
        imgbuild_curl_set_data_callback(raw, CURLOPT_READFUNCTION) { bytes, size, count, context in
            CurlTransfer.at(context)?.giveBody(UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
                ?? Int(CURL_READFUNC_ABORT)
        }
        imgbuild_curl_set_seek_callback(raw, CURLOPT_SEEKFUNCTION) { context, offset, origin in
            guard origin == SEEK_SET, let transfer = CurlTransfer.at(context) else { return CURL_SEEKFUNC_FAIL }
            transfer.position = Int64(offset)
            return CURL_SEEKFUNC_OK
        }
        imgbuild_curl_set_progress_callback(raw, CURLOPT_XFERINFOFUNCTION) { context, _, received, _, sent in
            CurlTransfer.at(context)?.mayGoOn(sent: Int64(sent), received: Int64(received)) == true ? 0 : 1
        }
        set(CURLOPT_NOPROGRESS, 0)
    }

    private func explain(
        _ code: CURLcode, _ text: String, _ transfer: CurlTransfer, _ settings: TransportSettings
    ) -> RegistryError {
        let reason = text.isEmpty ? String(cString: curl_easy_strerror(code)) : text
        let url = transfer.request.url
        let hasIdentity = settings.trust.entry(of: settings.trust.clientIdentities, for: url) != nil
        let proxy = url.scheme == .https ? settings.proxy.https : settings.proxy.http
        func failure(
            _ kind: RegistryError.ConnectionFailure, temporary: Bool, _ message: String? = nil, hint: String? = nil
        ) -> RegistryError {
            RegistryError(
                .connection(kind), request: transfer.request.summary, message: message ?? printable(reason),
                hint: hint, isTemporary: temporary)
        }
        switch code {
        case CURLE_COULDNT_RESOLVE_PROXY:
            return failure(.unknownProxy, temporary: false, hint: "check the proxy settings")
        case CURLE_COULDNT_RESOLVE_HOST:
            return failure(
                .unknownHost, temporary: true, "the host name '\(url.host)' could not be resolved",
                hint: "check the spelling of the registry, and the DNS of this machine")
        case CURLE_COULDNT_CONNECT:
            // "Failed to connect to HOST port PORT": with a proxy, which not all hosts are reached by, that is where it is.
            let isOfProxy = proxy != nil && !reason.contains("to \(url.host) port \(url.port) ")
            return failure(
                .refused, temporary: true,
                hint: isOfProxy
                    ? "that is the proxy's address: check the proxy settings"
                    : "is a registry listening on \(url.host) port \(url.port)?")
        case CURLE_OPERATION_TIMEDOUT:
            return failure(.timedOut, temporary: true)
        case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_ISSUER_ERROR:
            return failure(
                .certificate, temporary: false,
                hint: "give the certificate of its authority with --registry-certificate \(url.authority)=FILE")
        case CURLE_SSL_CONNECT_ERROR where reason.contains("wrong version number"):
            return failure(
                .notTLS, temporary: false, "\(url.authority) does not speak TLS",
                hint: "if it is a plain http registry, list it with --insecure-registry \(url.authority)")
        case CURLE_SSL_CONNECT_ERROR:
            // Only a connection that was cut in the handshake may go better next time.
            let isCut = ["SSL_ERROR_SYSCALL", "Connection reset", "unexpected eof"].contains { reason.contains($0) }
            return failure(.tls, temporary: isCut)
        case CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER, CURLE_SSL_CACERT_BADFILE:
            return failure(.tls, temporary: false, hint: "check the certificate files that were given")
        case CURLE_SEND_ERROR where reason.contains("certificate required"),
            CURLE_RECV_ERROR where reason.contains("certificate required"):
            return failure(
                .tls, temporary: false, "\(url.authority) asks for a client certificate",
                hint: "give it with --registry-client-cert \(url.authority)=CERTIFICATE,KEY")
        case CURLE_RECV_ERROR where reason.contains("CONNECT tunnel failed, response 4"):
            // "CONNECT tunnel failed, response 407": the answer of a proxy, which it will give again. tinyproxy answers a wrong
            // password with 401.
            let wantsUser = reason.hasSuffix("407") || reason.hasSuffix("401")
            return failure(
                .other, temporary: false, "the proxy refused to connect to \(url.authority): \(printable(reason))",
                hint: wantsUser
                    ? "the proxy wants credentials: give them in the proxy address"
                    : "does the proxy let this host through? NO_PROXY names those that are reached without it")
        case CURLE_PARTIAL_FILE, CURLE_HTTP2, CURLE_GOT_NOTHING, CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_HTTP2_STREAM:
            // With TLS 1.3 a server that misses a client's certificate may hang up after the handshake, and nothing tells why.
            let isMute = url.scheme == .https && transfer.head.status == 0 && !hasIdentity
            return failure(
                .lost, temporary: true,
                hint: isMute
                    ? "if the server asks for client certificates, give one with --registry-client-cert \(url.authority)=CERTIFICATE,KEY"
                    : nil)
        default:
            return failure(.other, temporary: false)
        }
    }

    private func set(_ option: CURLoption, _ value: Int) {
        imgbuild_curl_set_long(raw, option, value)
    }

    private func set(_ option: CURLoption, string: UnsafePointer<CChar>) {
        imgbuild_curl_set_string(raw, option, string)
    }

    private func set(_ option: CURLoption, pointer: UnsafeMutableRawPointer?) {
        imgbuild_curl_set_pointer(raw, option, pointer)
    }
}

extension Duration {
    fileprivate var milliseconds: Int {
        Int(components.seconds) * 1000 + Int(components.attoseconds / 1_000_000_000_000_000)
    }
}
