/// Defines the shell function `noise BYTES`: that many bytes which do not compress, the same ones each time.
///
/// Truly random bytes make a test that fails once in some hundred runs, and whose failure nobody sees again.
package let noise =
    "noise() { head -c \"$1\" /dev/zero | openssl enc -aes-128-ctr -nosalt -K 00112233445566778899aabbccddeeff -iv 00112233445566778899aabbccddeeff; }"
