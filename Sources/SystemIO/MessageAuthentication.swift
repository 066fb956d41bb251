// https://www.rfc-editor.org/rfc/rfc2104

import CCrypto

extension SHA256 {
    /// The 32 bytes of HMAC-SHA-256 of `message` under `key`.
    package static func authenticate(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
        var code = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 0
        let made = key.withUnsafeBytes { key in
            message.withUnsafeBufferPointer { message in
                HMAC(
                    EVP_sha256(), key.baseAddress, Int32(key.count), message.baseAddress, message.count, &code, &length)
            }
        }
        guard made != nil, length == 32 else { fatalError("libcrypto refused to authenticate") }
        return code
    }
}
