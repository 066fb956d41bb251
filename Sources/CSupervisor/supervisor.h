#pragma once
// Between the files of this room. Not seen by Swift.

#include "CSupervisor.h"

#include <errno.h>
#include <limits.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/types.h>

// Younger than the headers of Debian 12. linux/seccomp.h of Linux 6.6.
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

// A name in the skeleton for a program that is executed by a link of /proc. Busybox does that for every command of a shell.
enum { ALIAS_LIMIT = 32, ALIASES = 64 };
struct alias {
    char *text; // what it leads to; NULL: this one, and those after it, are free
    char name[ALIAS_LIMIT];
};

// What all threads of one supervisor share.
struct supervisor {
    const struct supervisor_plan *plan;
    int listener;
    int proc;                  // the builder's /proc, O_PATH
    _Atomic pid_t init;        // parent of the command: what descends from it belongs to the command
    _Atomic int proc_is_cwd;   // a process may have gone to /proc: every relative path may lead there
    pthread_mutex_t receiving; // one thread waits at a time
    pthread_mutex_t aliases;   // of the two below
    struct alias known[ALIASES];
    unsigned int alias_count;
    atomic_flag has_set_id;
    char set_id_program[SUPERVISOR_NAME_LIMIT];
    struct identity **identities; // of one thread: owners are kept by one
    size_t identity_count;
    atomic_uint_fast64_t calls, answered, unreadable;
};

// One thread, with the identity that it has taken on to read memory of the command.
struct worker {
    struct supervisor *shared;
    uid_t real_user;
    gid_t real_group;
    struct memory_file *memory; // MEMORY_FILES of them
};

// /proc/PID/mem of a thread, opened while that was still allowed.
struct memory_file {
    pid_t thread;
    int file; // -1: it was refused
};
enum { MEMORY_FILES = 128 };

// Who made a call.
struct caller {
    uint64_t id; // of the notification
    pid_t thread, process, parent;
    uid_t users[4]; // real, effective, saved, of the file system
    gid_t groups[4];
    int is_known;         // whether the fields above, but for `thread`, are filled
    char root[PATH_MAX];  // its root, as the builder sees it
    size_t root_length;   // without a slash at the end; 0 until it was asked for, and for "/"
};

// MARK: caller.c

// Fills in who it is. 0, or -1 when it is gone.
int caller_identify(struct worker *worker, struct caller *caller);
// Fills in `root`. 0, or -1 where that may not be known.
int caller_find_root(struct worker *worker, struct caller *caller);
// Whether the thread that made the call still waits for its answer.
int caller_waits(const struct worker *worker, const struct caller *caller);
// Copies a string of the caller's, at most PATH_MAX bytes with its NUL. Its length, or -1.
ssize_t caller_read_string(struct worker *worker, struct caller *caller, uint64_t address, char text[PATH_MAX]);
ssize_t caller_read(struct worker *worker, struct caller *caller, uint64_t address, void *bytes, size_t count);
// Writes where the caller itself may write. 0, or an errno.
int caller_write(struct worker *worker, struct caller *caller, uint64_t address, const void *bytes, size_t count);
// Writes over a string of the caller's, also where it is constant. 0, or an errno.
int caller_patch(struct worker *worker, struct caller *caller, uint64_t address, const char *text);
// Remembers or forgets a way to the caller's memory. `executes`: it is about to get another one.
void caller_keep_memory(struct worker *worker, const struct caller *caller, int executes);
// Files are opened as the caller from here on, and as the builder again.
void caller_lend_identity(const struct caller *caller);
void caller_return_identity(const struct caller *caller);

// MARK: paths.c

enum target_kind {
    TARGET_OTHER,     // no business of ours
    TARGET_PROC,      // `path` below /proc
    TARGET_MOUNTS,    // the list of mounts
    TARGET_MOUNTINFO, // the same in the longer form
    TARGET_ROOT,      // `path` in the caller's root, where a link of /proc has led
    TARGET_DEVICE,    // `path` is a node that the builder has, too
    TARGET_ERROR,     // `error`
};

struct target {
    enum target_kind kind;
    int error;
    int is_global;      // not of one process
    int is_link;        // the last name is a link that only the kernel can follow
    char path[PATH_MAX];
    char text[32];      // what readlink says, where that is not what the builder's /proc says; else empty
};

// Whether a path can be one of ours: cheap, and seldom wrong.
int path_concerns(const struct supervisor *shared, const char *path);
// Where a path of the caller's leads. `follows`: whether the call follows a link at the end.
void path_resolve(struct worker *worker, struct caller *caller, const char *path, int follows, struct target *target);
// The text of a link below the builder's /proc, if the caller itself may read it. Its length, or -1 and errno.
ssize_t path_read_link(struct worker *worker, struct caller *caller, const char *path, char text[PATH_MAX]);
// Turns the text of a link of the caller's into a path in its root, in place. 0, or -1 when it leads outside.
int path_enter_root(struct worker *worker, struct caller *caller, char text[PATH_MAX]);

// MARK: answers.c

enum answer_kind {
    ANSWER_KERNEL, // the kernel goes on with the call
    ANSWER_VALUE,  // the call is done, and returns `value`
    ANSWER_ERROR,  // the call fails with errno `value`
    ANSWER_SENT,   // the caller has its answer, or is gone
};

struct answer {
    enum answer_kind kind;
    int64_t value;
};

// Gives the caller a file that was opened for it with O_NONBLOCK; `wanted`: its own flags. Closes the file.
struct answer answer_with_file(struct worker *worker, struct caller *caller, int file, uint64_t wanted);
struct answer answer_call(struct worker *worker, struct caller *caller, const struct seccomp_data *call);

// MARK: contents.c

// Opens a new read-only file with the list of mounts. A descriptor, or -1 and errno.
int contents_open(const struct supervisor *shared, enum target_kind kind);
