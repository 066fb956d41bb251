import CISAL
import Glibc

/// The library that compresses layers.
package enum Compressor {
    /// The version of the ISA-L that this process has loaded, as "2.30.0".
    ///
    /// The library cannot be asked before 2.31, but its file can: Debian installs it as `libisal.so.2.0.30`. Where that name
    /// tells nothing, it is the version that the program was compiled with.
    package static var version: String {
        let compiled = "\(ISAL_MAJOR_VERSION).\(ISAL_MINOR_VERSION).\(ISAL_PATCH_VERSION)"
        guard let handle = dlopen("libisal.so.2", RTLD_LAZY | RTLD_NOLOAD) else { return compiled }
        defer { dlclose(handle) }
        var info = Dl_info()
        guard let symbol = dlsym(handle, "isal_deflate"), dladdr(symbol, &info) != 0, let file = info.dli_fname else {
            return compiled
        }
        guard let resolved = realpath(file, nil) else { return compiled }
        defer { free(resolved) }
        // "libisal.so.MAJOR.PATCH.MINOR", as ISA-L's own Makefile writes it.
        let numbers = String(cString: resolved).split(separator: "/").last.map { $0.split(separator: ".").dropFirst(2) }
        guard let numbers, numbers.count == 3 else { return compiled }
        let parts = numbers.map(String.init)
        return "\(parts[0]).\(parts[2]).\(parts[1])"
    }
}
