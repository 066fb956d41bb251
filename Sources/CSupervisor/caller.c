// Who made a call, and its memory.
//
// The kernel lets a thread read another's memory when it has the same ids and at least its capabilities; all else is CAP_SYS_PTRACE, which
// a pod does not have. So the thread takes on the real ids of whom it reads (process_vm_readv compares those), or the ids of the
// file system (files of /proc/PID compare these), and stays root in its effective id. A process that gave up its ids without an exec can
// be read by nobody: a file of its memory that was opened before still works.

#include "supervisor.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

// MARK: identity

// The next number of `text`, which is moved behind it.
static unsigned long next_number(const char **text) {
    char *end;
    unsigned long number = strtoul(*text, &end, 10);
    *text = end;
    return number;
}

int caller_identify(struct worker *worker, struct caller *caller) {
    if (caller->is_known) return 0;
    char name[32], text[2048];
    snprintf(name, sizeof name, "%d/status", caller->thread);
    int file = openat(worker->shared->proc, name, O_RDONLY | O_CLOEXEC);
    if (file < 0) return -1;
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    if (count <= 0) return -1;
    text[count] = 0;
    // proc_pid_status(5): these lines are among the first ten.
    const char *line;
    if (!(line = strstr(text, "\nTgid:"))) return -1;
    line += 6;
    caller->process = (pid_t)next_number(&line);
    if (!(line = strstr(text, "\nPPid:"))) return -1;
    line += 6;
    caller->parent = (pid_t)next_number(&line);
    if (!(line = strstr(text, "\nUid:"))) return -1;
    line += 5;
    for (int i = 0; i < 4; i++) caller->users[i] = (uid_t)next_number(&line);
    if (!(line = strstr(text, "\nGid:"))) return -1;
    line += 5;
    for (int i = 0; i < 4; i++) caller->groups[i] = (gid_t)next_number(&line);
    // The number may have been another's in between.
    if (!caller_waits(worker, caller)) return -1;
    caller->is_known = 1;
    return 0;
}

int caller_waits(const struct worker *worker, const struct caller *caller) {
    return ioctl(worker->shared->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &caller->id) == 0;
}

// A change of ids opens or closes the whole process to others, as fs.suid_dumpable says; the builder stays closed.
static void stay_closed(void) { prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }

// The raw calls: the C library's would change the ids of every thread of the builder.
void caller_lend_identity(const struct caller *caller) {
    if (!caller->is_known || (caller->users[3] == 0 && caller->groups[3] == 0)) return;
    syscall(SYS_setfsgid, caller->groups[3]);
    syscall(SYS_setfsuid, caller->users[3]);
    stay_closed();
}

void caller_return_identity(const struct caller *caller) {
    if (!caller->is_known || (caller->users[3] == 0 && caller->groups[3] == 0)) return;
    syscall(SYS_setfsuid, 0);
    syscall(SYS_setfsgid, 0);
    stay_closed();
}

int caller_find_root(struct worker *worker, struct caller *caller) {
    if (caller->root[0] != 0) return 0;
    if (caller_identify(worker, caller) < 0) return -1;
    char name[32];
    snprintf(name, sizeof name, "%d/root", caller->process);
    caller_lend_identity(caller);
    ssize_t length = readlinkat(worker->shared->proc, name, caller->root, sizeof caller->root - 1);
    caller_return_identity(caller);
    if (length <= 0) {
        caller->root[0] = 0;
        return -1;
    }
    caller->root[length] = 0;
    caller->root_length = length == 1 ? 0 : (size_t)length;
    return 0;
}

// MARK: memory

static struct memory_file *memory_slot(struct worker *worker, pid_t thread) {
    return &worker->memory[(unsigned int)thread % MEMORY_FILES];
}

static int open_memory(struct worker *worker, const struct caller *caller) {
    char name[32];
    snprintf(name, sizeof name, "%d/mem", caller->thread);
    caller_lend_identity(caller);
    int file = openat(worker->shared->proc, name, O_RDWR | O_CLOEXEC), error = errno;
    caller_return_identity(caller);
    errno = error;
    return file;
}

void caller_keep_memory(struct worker *worker, const struct caller *caller, int executes) {
    struct memory_file *slot = memory_slot(worker, caller->thread);
    if (!executes && slot->thread == caller->thread) return;
    if (slot->thread != 0 && slot->file >= 0) close(slot->file);
    slot->thread = 0;
    slot->file = -1;
    if (executes) return;
    slot->thread = caller->thread;
    slot->file = open_memory(worker, caller);
}

// 1 when another try of process_vm_* may succeed.
static int match_real_ids(struct worker *worker, struct caller *caller) {
    if (caller_identify(worker, caller) < 0) return 0;
    for (int i = 1; i < 3; i++)
        if (caller->users[i] != caller->users[0] || caller->groups[i] != caller->groups[0]) return 0;
    uid_t user = caller->users[0];
    gid_t group = caller->groups[0];
    if (user == worker->real_user && group == worker->real_group) return 0;
    // The group first: the right to change it is that of the user. Kept until another user makes a call.
    if (syscall(SYS_setresgid, group, -1, -1) < 0 || syscall(SYS_setresuid, user, -1, -1) < 0) return 0;
    stay_closed();
    worker->real_user = user;
    worker->real_group = group;
    return 1;
}

static ssize_t transfer(
    struct worker *worker, struct caller *caller, uint64_t address, void *bytes, size_t count, int writes) {
    struct iovec here = {.iov_base = bytes, .iov_len = count};
    struct iovec there = {.iov_base = (void *)(uintptr_t)address, .iov_len = count};
    for (int attempt = 0; attempt < 2; attempt++) {
        ssize_t done = writes ? process_vm_writev(caller->thread, &here, 1, &there, 1, 0)
                              : process_vm_readv(caller->thread, &here, 1, &there, 1, 0);
        if (done >= 0 || (errno != EPERM && errno != ENOSYS)) return done;
        if (!match_real_ids(worker, caller)) break;
    }
    struct memory_file *slot = memory_slot(worker, caller->thread);
    if (slot->thread != caller->thread || slot->file < 0) {
        // Now that its ids are known, or as it executes a program.
        caller_keep_memory(worker, caller, 1);
        if (caller_identify(worker, caller) == 0) caller_keep_memory(worker, caller, 0);
    }
    if (slot->file < 0) {
        errno = EPERM;
        return -1;
    }
    ssize_t done = writes ? pwrite(slot->file, bytes, count, (off_t)address) : pread(slot->file, bytes, count, (off_t)address);
    if (done != 0) return done;
    // The memory of a process that has ended, whose number this one has.
    caller_keep_memory(worker, caller, 1);
    errno = EPERM;
    return -1;
}

ssize_t caller_read(struct worker *worker, struct caller *caller, uint64_t address, void *bytes, size_t count) {
    return transfer(worker, caller, address, bytes, count, 0);
}

ssize_t caller_read_string(struct worker *worker, struct caller *caller, uint64_t address, char text[PATH_MAX]) {
    size_t length = 0;
    while (length < PATH_MAX) {
        // Never across the end of a page: what follows may not be mapped. 4096: the smallest page there is. 256: longer than most paths.
        size_t count = 4096 - (size_t)((address + length) % 4096);
        if (length == 0 && count > 256) count = 256;
        if (count > PATH_MAX - length) count = PATH_MAX - length;
        ssize_t done = caller_read(worker, caller, address + length, text + length, count);
        if (done <= 0) return -1;
        const char *end = memchr(text + length, 0, (size_t)done);
        if (end) return end - text;
        length += (size_t)done;
    }
    errno = ENAMETOOLONG;
    return -1;
}

int caller_write(struct worker *worker, struct caller *caller, uint64_t address, const void *bytes, size_t count) {
    if (!caller_waits(worker, caller)) return ESRCH;
    ssize_t done = transfer(worker, caller, address, (void *)(uintptr_t)bytes, count, 1);
    if (done < 0) return errno;
    return (size_t)done == count ? 0 : EFAULT;
}

int caller_patch(struct worker *worker, struct caller *caller, uint64_t address, const char *text) {
    int file = open_memory(worker, caller);
    if (file < 0) return errno;
    size_t count = strlen(text) + 1;
    // Opened for the right one?
    int error = !caller_waits(worker, caller) ? ESRCH : pwrite(file, text, count, (off_t)address) == (ssize_t)count ? 0 : EACCES;
    close(file);
    return error;
}
