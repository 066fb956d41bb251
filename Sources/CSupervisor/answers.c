// What is done for one call.

#include "supervisor.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

static const struct answer to_kernel = {ANSWER_KERNEL, 0};

static struct answer failed(int error) { return (struct answer){ANSWER_ERROR, error}; }
static struct answer done(int64_t value) { return (struct answer){ANSWER_VALUE, value}; }

// MARK: files

// Opens what a target names, as the caller. A descriptor of ours, or -1 and errno.
static int open_target(
    struct worker *worker, struct caller *caller, const struct target *target, uint64_t flags, uint64_t mode) {
    const struct supervisor *shared = worker->shared;
    int file = -1;
    caller_lend_identity(caller);
    switch (target->kind) {
    case TARGET_MOUNTS:
    case TARGET_MOUNTINFO: file = contents_open(shared, target->kind); break;
    case TARGET_DEVICE: file = open(target->path, (int)flags); break;
    case TARGET_ROOT: {
        char name[32];
        snprintf(name, sizeof name, "%d/root", caller->process);
        int root = openat(shared->proc, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root < 0) break;
        struct open_how how = {
            .flags = flags, .mode = flags & O_CREAT ? mode & 07777 : 0, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
        file = (int)syscall(SYS_openat2, root, target->path, &how, sizeof how);
        int error = errno;
        close(root);
        errno = error;
        break;
    }
    default: file = openat(shared->proc, target->path, (int)(flags & ~(uint64_t)(O_CREAT | O_NOFOLLOW)));
    }
    int error = errno;
    caller_return_identity(caller);
    errno = error;
    return file;
}

struct answer answer_with_file(struct worker *worker, struct caller *caller, int file, uint64_t wanted) {
    if (!(wanted & O_NONBLOCK)) fcntl(file, F_SETFL, fcntl(file, F_GETFL) & ~O_NONBLOCK);
    struct seccomp_notif_addfd gift = {
        .id = caller->id, .flags = SECCOMP_ADDFD_FLAG_SEND, .srcfd = (uint32_t)file,
        .newfd_flags = (uint32_t)(wanted & O_CLOEXEC)};
    int given = ioctl(worker->shared->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &gift);
    int error = errno;
    close(file);
    // ENOENT: the caller has been killed meanwhile.
    return given >= 0 || error == ENOENT ? (struct answer){ANSWER_SENT, 0} : failed(error);
}

static struct answer answer_open(
    struct worker *worker, struct caller *caller, const struct target *target, uint64_t flags, uint64_t mode) {
    int writes = (flags & O_ACCMODE) != O_RDONLY && !(flags & O_PATH);
    if (writes && target->kind == TARGET_PROC && target->is_global) return failed(flags & O_DIRECTORY ? EISDIR : EROFS);
    if (writes && (target->kind == TARGET_MOUNTS || target->kind == TARGET_MOUNTINFO)) return failed(EACCES);
    if ((flags & O_NOFOLLOW) && (target->is_link || target->text[0])) return failed(ELOOP);
    uint64_t wanted = flags;
    // A descriptor that is only a path cannot be handed over: one for reading can do all that it can.
    if (flags & O_PATH) flags = O_RDONLY | (flags & (O_DIRECTORY | O_CLOEXEC));
    // This thread waits for nobody: not for the other end of a pipe either. A terminal of the builder's is none of the command's.
    int file = open_target(worker, caller, target, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
    if (file < 0) return failed(errno);
    return answer_with_file(worker, caller, file, wanted);
}

static struct answer answer_access(
    struct worker *worker, struct caller *caller, const struct target *target, int mode) {
    if ((mode & W_OK) && target->is_global) return failed(EROFS);
    if (target->kind == TARGET_MOUNTS || target->kind == TARGET_MOUNTINFO) return mode & (W_OK | X_OK) ? failed(EACCES) : done(0);
    int result;
    if (target->kind == TARGET_PROC) {
        caller_lend_identity(caller);
        // AT_EACCESS: by the ids of the file system, which are the caller's now.
        result = (int)syscall(SYS_faccessat2, worker->shared->proc, target->path, mode, AT_EACCESS);
        int error = errno;
        caller_return_identity(caller);
        return result < 0 ? failed(error) : done(0);
    }
    int file = open_target(worker, caller, target, O_PATH | O_CLOEXEC, 0);
    if (file < 0) return failed(errno);
    caller_lend_identity(caller);
    char name[64];
    snprintf(name, sizeof name, "/proc/thread-self/fd/%d", file);
    result = (int)syscall(SYS_faccessat2, AT_FDCWD, name, mode, AT_EACCESS);
    int error = errno;
    caller_return_identity(caller);
    close(file);
    return result < 0 ? failed(error) : done(0);
}

static struct answer answer_statfs(
    struct worker *worker, struct caller *caller, const struct target *target, uint64_t address) {
    int is_list = target->kind == TARGET_MOUNTS || target->kind == TARGET_MOUNTINFO;
    int file = is_list ? dup(worker->shared->proc) : open_target(worker, caller, target, O_PATH | O_CLOEXEC, 0);
    if (file < 0) return failed(errno);
    struct statfs status; // as the kernel has it, on both architectures
    int result = fstatfs(file, &status), error = errno;
    close(file);
    if (result < 0) return failed(error);
    error = caller_write(worker, caller, address, &status, sizeof status);
    return error ? failed(error) : done(0);
}

// MARK: links

// The text of a link as the caller's readlink gives it. Its length, or -1 and errno.
static ssize_t link_text(struct worker *worker, struct caller *caller, const struct target *target, char text[PATH_MAX]) {
    if (target->text[0]) {
        strcpy(text, target->text);
        return (ssize_t)strlen(text);
    }
    if (path_read_link(worker, caller, target->path, text) < 0) return -1;
    // What it has of the builder's /dev (its input is /dev/null there) is the same in its own.
    int is_foreign = target->is_link && text[0] == '/' && strncmp(text, "/dev/", 5) != 0 && strncmp(text, "/memfd:", 7) != 0;
    if (is_foreign && path_enter_root(worker, caller, text) < 0) {
        errno = ENOENT;
        return -1;
    }
    return (ssize_t)strlen(text);
}

static struct answer answer_readlink(
    struct worker *worker, struct caller *caller, const struct target *target, uint64_t address, uint64_t size) {
    char text[PATH_MAX];
    if ((int)size <= 0 || target->kind == TARGET_MOUNTS || target->kind == TARGET_MOUNTINFO) return failed(EINVAL);
    if (target->kind != TARGET_PROC) {
        int file = open_target(worker, caller, target, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
        if (file < 0) return failed(errno);
        ssize_t length = readlinkat(file, "", text, sizeof text - 1);
        int error = errno;
        close(file);
        if (length < 0) return failed(error == ENOENT ? EINVAL : error);
        text[length] = 0;
    } else if (link_text(worker, caller, target, text) < 0) {
        return failed(errno);
    }
    size_t length = strlen(text);
    if (length > size) length = size;
    int error = caller_write(worker, caller, address, text, length);
    return error ? failed(error) : done((int64_t)length);
}

// MARK: programs

// Makes a symlink in the skeleton that leads to `text`, with a name of at most `limit` bytes: 0, or -1. Its last part is `exe`, as that becomes
// the name of the process, where there is room.
static int make_alias(struct supervisor *shared, const char *text, size_t limit, char name[ALIAS_LIMIT]) {
    for (;;) {
        unsigned int number = shared->alias_count++;
        char digits[16];
        int count = 0;
        do digits[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36];
        while ((number /= 36) > 0);
        int length = snprintf(name, ALIAS_LIMIT, "/proc/.");
        while (count > 0) name[length++] = digits[--count];
        name[length] = 0;
        if ((size_t)length > limit) return -1;
        const char *below = name + strlen("/proc/");
        if ((size_t)length + strlen("/exe") <= limit) {
            if (mkdirat(shared->plan->skeleton, below, 0755) < 0 && errno != EEXIST) return -1;
            strcpy(name + length, "/exe");
        }
        if (symlinkat(text, shared->plan->skeleton, below) == 0) return 0;
        if (errno != EEXIST) return -1;
    }
}

// As `make_alias`, with the name that the program has already, if the command has left it where it was.
static int find_alias(struct supervisor *shared, const char *text, size_t limit, char name[ALIAS_LIMIT]) {
    int result = -1;
    pthread_mutex_lock(&shared->aliases);
    struct alias *free_one = NULL;
    for (int i = 0; i < ALIASES && result < 0; i++) {
        struct alias *alias = &shared->known[i];
        if (!alias->text) {
            free_one = alias;
            break;
        }
        if (strcmp(alias->text, text) != 0 || strlen(alias->name) > limit) continue;
        char found[PATH_MAX];
        ssize_t length = readlinkat(shared->plan->skeleton, alias->name + strlen("/proc/"), found, sizeof found);
        if (length != (ssize_t)strlen(text) || memcmp(found, text, (size_t)length) != 0) continue;
        strcpy(name, alias->name);
        result = 0;
    }
    if (result < 0) {
        result = make_alias(shared, text, limit, name);
        if (result == 0 && free_one && (free_one->text = strdup(text))) strcpy(free_one->name, name);
    }
    pthread_mutex_unlock(&shared->aliases);
    return result;
}

// Notes a program that would run with other ids than its caller's, and will not: the kernel ignores set-uid and set-gid bits of
// a process with no_new_privs, which a filter needs.
static void note_set_id(struct worker *worker, struct caller *caller, const char *path) {
    struct supervisor *shared = worker->shared;
    if (path[0] != '/') return;
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    int file = (int)syscall(SYS_openat2, shared->plan->root, path, &how, sizeof how);
    if (file < 0) return;
    struct stat status;
    int is_program = fstat(file, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & (S_ISUID | S_ISGID));
    close(file);
    if (!is_program || caller_identify(worker, caller) < 0) return;
    int gains = (status.st_mode & S_ISUID && status.st_uid != caller->users[1])
        || (status.st_mode & S_ISGID && status.st_gid != caller->groups[1]);
    if (!gains || strlen(path) >= sizeof shared->set_id_program || atomic_flag_test_and_set(&shared->has_set_id)) return;
    strcpy(shared->set_id_program, path);
}

// A program cannot be handed over as files are. So the caller's own memory gets a name that leads to the same file, and the kernel
// goes on. No name is longer than the one that it replaces.
static struct answer answer_execute(
    struct worker *worker, struct caller *caller, const struct target *target, uint64_t address, size_t limit) {
    char text[PATH_MAX], name[ALIAS_LIMIT];
    if (target->kind == TARGET_ROOT) strcpy(text, target->path);
    else if (target->kind != TARGET_PROC || !target->is_link) return failed(EACCES);
    else if (link_text(worker, caller, target, text) < 0) return failed(errno);
    // A file without a name: deleted, or in memory only.
    size_t length = strlen(text);
    const char *deleted = " (deleted)";
    if (text[0] != '/' || (length > strlen(deleted) && strcmp(text + length - strlen(deleted), deleted) == 0)) return failed(EACCES);
    if (find_alias(worker->shared, text, limit, name) < 0) return failed(EACCES);
    return caller_patch(worker, caller, address, name) == 0 ? to_kernel : failed(EACCES);
}

// MARK: which call it is


struct answer answer_call(struct worker *worker, struct caller *caller, const struct seccomp_data *call) {
    const __u64 *argument = call->args;
    int number = call->nr;
    int has_folder = number == SYS_openat || number == SYS_openat2 || number == SYS_readlinkat || number == SYS_faccessat
        || number == SYS_faccessat2 || number == SYS_execveat;
    int at = has_folder ? 1 : 0; // of the path
    char path[PATH_MAX];
    ssize_t length = caller_read_string(worker, caller, argument[at], path);
    if (length < 0) {
        worker->shared->unreadable++;
        return to_kernel;
    }
    if (number == SYS_execve) note_set_id(worker, caller, path);
    if (!path_concerns(worker->shared, path)) return to_kernel;

    uint64_t flags = 0, mode = 0;
    switch (number) {
    case SYS_openat:
        flags = argument[2];
        mode = argument[3];
        break;
    case SYS_openat2: {
        struct open_how how;
        if (caller_read(worker, caller, argument[2], &how, sizeof how) != sizeof how || how.resolve != 0) return to_kernel;
        flags = how.flags;
        mode = how.mode;
        break;
    }
#ifdef SYS_open
    case SYS_open:
        flags = argument[1];
        mode = argument[2];
        break;
    case SYS_creat:
        flags = O_CREAT | O_WRONLY | O_TRUNC;
        mode = argument[1];
        break;
#endif
    case SYS_faccessat2: flags = argument[3] & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0; break;
    case SYS_execveat: flags = argument[4] & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0; break;
    }
    int reads_link = number == SYS_readlinkat;
#ifdef SYS_readlink
    reads_link = reads_link || number == SYS_readlink;
#endif
    struct target target;
    path_resolve(worker, caller, path, !reads_link && !(flags & O_NOFOLLOW), &target);
    if (number == SYS_chdir) {
        // The kernel goes to the skeleton. From now on a name without a slash may be one of /proc.
        if (target.kind == TARGET_PROC) worker->shared->proc_is_cwd = 1;
        return to_kernel;
    }
    if (target.kind == TARGET_OTHER) return to_kernel;
    if (target.kind == TARGET_ERROR) return failed(target.error);
    switch (number) {
    case SYS_openat:
    case SYS_openat2: return answer_open(worker, caller, &target, flags, mode);
    case SYS_readlinkat: return answer_readlink(worker, caller, &target, argument[2], argument[3]);
    case SYS_faccessat:
    case SYS_faccessat2: return answer_access(worker, caller, &target, (int)argument[2]);
    case SYS_statfs: return answer_statfs(worker, caller, &target, argument[1]);
    case SYS_getxattr:
    case SYS_lgetxattr: return failed(ENODATA);
    case SYS_listxattr:
    case SYS_llistxattr: return done(0);
    case SYS_execve:
    case SYS_execveat: return answer_execute(worker, caller, &target, argument[at], (size_t)length);
#ifdef SYS_open
    case SYS_open:
    case SYS_creat: return answer_open(worker, caller, &target, flags, mode);
    case SYS_readlink: return answer_readlink(worker, caller, &target, argument[1], argument[2]);
    case SYS_access: return answer_access(worker, caller, &target, (int)argument[1]);
#endif
    }
    return to_kernel;
}
