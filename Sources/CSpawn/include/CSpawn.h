#pragma once
// One way to start a process: a flat plan made before the clone, carried out in the child by async-signal-safe calls only.
//
// A child of a threaded process may not allocate, lock or run Swift between clone and exec. So the parent writes down
// everything first; the child walks the list, and says over a pipe which step failed and with which errno.

#include "system_calls.h"
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/types.h>

enum spawn_step_kind {
    // Mounts. "In the root" means: below the folder that SPAWN_SET_ROOT opened, with every symlink clamped to it.
    SPAWN_MOUNTS_PRIVATE = 1, // no mount or unmount from here on is seen outside this mount namespace
    SPAWN_MOUNT,              // file system `type` on the path `target`; on EINVAL again with `fallback` as data
    SPAWN_SET_ROOT,           // the folder `target` is the root of the steps that follow
    SPAWN_MOUNT_IN_ROOT,      // file system `type` on `target` in the root, made if it is missing
    SPAWN_BIND,               // `source` (or `descriptor`) on `target` in the root, made if it is missing
    SPAWN_READ_ONLY,          // `target` in the root becomes read-only; nothing if it is missing
    SPAWN_MASK,               // `target` in the root is hidden by an empty file or folder; nothing if it is missing
    SPAWN_MAKE_DIRECTORY,     // `target` in the root, with `mode`; an existing one is left as it is
    SPAWN_WRITE_FILE,         // the new file `target`: `flags` bytes of `data`, with `mode`; `ids` are its uid and gid
    SPAWN_SYMLINK,            // `target` in the root points to `source`; an existing name is left as it is
    SPAWN_PIVOT_ROOT,         // the root becomes "/" of the mount namespace, the old one is detached
    // Where the process stands.
    SPAWN_CHROOT,
    SPAWN_CHDIR,
    SPAWN_CHANGE_TO_DESCRIPTOR,
    SPAWN_JOIN_USER_NAMESPACE, // of `descriptor`, an open /proc/PID/ns/user
    SPAWN_HOST_NAME,   // `source`
    SPAWN_LOOPBACK_UP, // brings `lo` up in a new network namespace
    SPAWN_UMASK,       // `mode`
    SPAWN_GIVE_PIPES,  // the pipes among the standard streams belong to uid `mode`: it may open them anew
    // Who it is. In this order, for each of these gives up a right that the ones before need.
    SPAWN_BOUNDING_SET, // capabilities outside `flags` can never be had again
    SPAWN_GROUPS,       // `ids`, `id_count`
    SPAWN_GROUP,        // `mode` as real, effective and saved gid
    SPAWN_USER,         // `mode` as real, effective and saved uid
    SPAWN_CAPABILITIES, // permitted and effective are cut to `flags`; inheritable and ambient are emptied
    SPAWN_NO_NEW_PRIVILEGES,
    // What others may see and answer.
    SPAWN_FILTER_CALLS,   // `data`: `flags` instructions of a seccomp filter, whose listener goes through the socket `descriptor`
    SPAWN_OPEN_TO_OTHERS, // memory and files of this process, until the exec, can be read by who has its ids and rights
    SPAWN_TRY_OPEN,       // `target` can be opened for reading
};

// Flags of SPAWN_BIND.
enum { SPAWN_BIND_RECURSIVE = 1, SPAWN_BIND_READ_ONLY = 2 };

struct spawn_step {
    int32_t kind;
    int32_t descriptor; // -1 where a path is used
    uint64_t flags;
    uint32_t mode;
    uint32_t id_count;
    const uint32_t *ids;
    const char *source;
    const char *target;
    const char *type;
    const char *data;
    const char *fallback;
};

struct spawn_plan {
    uint64_t clone_flags; // CLONE_NEW*
    int32_t stdio[3];     // become 0, 1 and 2; every other descriptor is closed
    // Descriptors of the steps: open until the exec.
    const int32_t *kept;
    size_t kept_count;
    const struct spawn_step *steps;
    size_t step_count;
    // 0: the child itself execs. 1: the steps from `command_step` on and the exec happen in a second process; the first stays, hands
    // signals on, reaps, and when the command has ended kills whatever is left of it.
    int32_t supervised;
    size_t command_step;
    char *const *argv; // argv[0] without a slash is looked up along PATH of `envp`, where the steps have led
    char *const *envp;
};

// What comes through the status pipe: records, each followed by `length` bytes of text.
enum spawn_record_kind {
    SPAWN_CREATED = 1, // text: a mount point that had to be made, as a path in the root
    SPAWN_FAILED,      // `step` failed with errno `value` in the call that the text names; `step_count` stands for the supervisor or the exec
    SPAWN_STARTED,     // the exec succeeded (supervised only; otherwise the end of the pipe says so)
    SPAWN_ENDED,       // `value`: wait status of the command (supervised only)
};

struct spawn_record {
    int32_t kind;
    int32_t step;
    int32_t value;
    uint32_t length;
};

struct spawned {
    pid_t pid;
    int pidfd;  // close-on-exec
    int status; // read end of the status pipe, close-on-exec
};

// SIGUSR1 to a supervising process: kill the command and all that descends from it now.
// SIGTERM, SIGINT, SIGHUP and SIGQUIT are handed to the command.

// Starts the child. 0, or -1 with errno and the name of the call that failed in `call`; then nothing was started.
int imgbuild_spawn(const struct spawn_plan *plan, struct spawned *spawned, const char **call);

static inline int imgbuild_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, (void *)0, 0);
}

// From here on nobody without CAP_SYS_PTRACE can look into this process: not into its memory, environment, or open files. An exec ends it.
static inline int imgbuild_close_to_others(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

// Starts a process in a new user namespace that does nothing; it dies with the caller's thread. Its pid, or -1 and errno.
pid_t imgbuild_hold_user_namespace(void);

// The calling process, which has one thread, goes on in the user namespace of an open /proc/PID/ns/user. 0, or -1 and errno.
int imgbuild_join_user_namespace(int file);

// From here on a filter stops calls of this thread and of all that it starts; its listener goes through the socket. `count` instructions of
// struct sock_filter. NULL, or the name of the call that failed, errno set.
const char *imgbuild_filter_calls(const void *filter, size_t count, int socket);
