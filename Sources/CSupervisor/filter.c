// Which calls are stopped. The filter sees numbers and arguments, never a path: so it is the cost of every call that it stops
// for nothing. Two cuts keep that small, and take nothing away that matters:
//
// - A path relative to an open folder is left to the kernel: a folder of /proc that the command has open is a real one.
// - A file that must not exist yet (O_EXCL) is none of /proc: what unpacks archives runs at full speed.
//
// stat and its kin are not stopped: they are the most frequent calls of all, and find the skeleton.

#include "owners.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE_ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "no such architecture"
#endif

static const struct {
    int number;
    int folder; // the argument that must be AT_FDCWD
    int flags;  // the argument that must not have O_EXCL
} stopped[] = {
#ifdef SYS_open
    {SYS_open, NO_ARGUMENT, 1},
    {SYS_creat, NO_ARGUMENT, NO_ARGUMENT},
    {SYS_readlink, NO_ARGUMENT, NO_ARGUMENT},
    {SYS_access, NO_ARGUMENT, NO_ARGUMENT},
#endif
    {SYS_openat, 0, 2},
    {SYS_openat2, 0, NO_ARGUMENT},
    {SYS_readlinkat, 0, NO_ARGUMENT},
    {SYS_faccessat, 0, NO_ARGUMENT},
    {SYS_faccessat2, 0, NO_ARGUMENT},
    {SYS_statfs, NO_ARGUMENT, NO_ARGUMENT},
    {SYS_chdir, NO_ARGUMENT, NO_ARGUMENT},
    {SYS_getxattr, NO_ARGUMENT, NO_ARGUMENT},
    {SYS_lgetxattr, NO_ARGUMENT, NO_ARGUMENT},
    {SYS_listxattr, NO_ARGUMENT, NO_ARGUMENT},
    {SYS_llistxattr, NO_ARGUMENT, NO_ARGUMENT},
    {SYS_execve, NO_ARGUMENT, NO_ARGUMENT},
    {SYS_execveat, 0, NO_ARGUMENT},
};

// The low half of an argument: all that an int has. Both architectures are little-endian.
static uint32_t low_half(int argument) {
    return (uint32_t)(offsetof(struct seccomp_data, args) + 8 * (size_t)argument);
}

#define ADD(...) program[count++] = (struct sock_filter)__VA_ARGS__

static const struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
static const struct sock_filter notify = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);

static size_t add_load(struct sock_filter *program, size_t count, size_t offset) {
    ADD(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
    return count;
}

// Closes the block of a call: at `test` it is skipped when it is another one.
static size_t end_block(struct sock_filter *program, size_t count, size_t test, int number) {
    program[count++] = notify;
    program[test] = (struct sock_filter)BPF_JUMP(
        BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, (uint8_t)(count - test - 1));
    return count;
}

static size_t add_calls_with_path(struct sock_filter *program, size_t count) {
    for (size_t i = 0; i < sizeof stopped / sizeof stopped[0]; i++) {
        size_t test = count++;
        if (stopped[i].folder >= 0) {
            count = add_load(program, count, low_half(stopped[i].folder));
            ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)AT_FDCWD, 1, 0));
            program[count++] = allow;
        }
        if (stopped[i].flags >= 0) {
            count = add_load(program, count, low_half(stopped[i].flags));
            ADD(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_EXCL, 0, 1));
            program[count++] = allow;
        }
        count = end_block(program, count, test, stopped[i].number);
    }
    return count;
}

static size_t add_calls_of_owners(struct sock_filter *program, size_t count) {
    for (size_t i = 0; i < owner_call_count; i++) {
        size_t test = count++;
        if (owner_calls[i].tested >= 0) {
            count = add_load(program, count, low_half(owner_calls[i].tested));
            ADD(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, owner_calls[i].bits, 1, 0));
            program[count++] = allow;
        }
        count = end_block(program, count, test, owner_calls[i].number);
    }
    return count;
}

size_t imgbuild_supervisor_filter(int keeps_owners, struct sock_filter program[SUPERVISOR_FILTER_LIMIT]) {
    size_t count = 0;
    // Programs of another architecture (32 bits) have other numbers; they see the skeleton.
    count = add_load(program, count, offsetof(struct seccomp_data, arch));
    ADD(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE_ARCHITECTURE, 1, 0));
    program[count++] = allow;
    count = add_load(program, count, offsetof(struct seccomp_data, nr));
    count = keeps_owners ? add_calls_of_owners(program, count) : add_calls_with_path(program, count);
    program[count++] = allow;
    return count;
}
