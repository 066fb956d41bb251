// New files. The kernel gives them the only id that it knows here. So where another one is due, because of who makes the file or because of a
// set-group-id folder, the file is made by the supervisor, which keeps the owner, and hands over the result.

#include "owners.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct answer to_kernel = {ANSWER_KERNEL, 0};

static struct answer failed(int error) { return (struct answer){ANSWER_ERROR, error}; }

// What a call makes, from its arguments.
struct creation {
    bool opens;
    int folder;
    uint64_t address;        // of the path
    uint64_t target_address; // of a symlink's text
    uint64_t flags, resolve; // of open
    mode_t mode;             // with its type
    uint32_t device;
};

// 0, or -1 where the kernel does the call.
static int read_arguments(
    struct worker *worker, struct caller *caller, const struct seccomp_data *call, struct creation *creation) {
    const __u64 *argument = call->args;
    *creation = (struct creation){.folder = AT_FDCWD};
    switch (call->nr) {
#ifdef SYS_open
    case SYS_open:
        *creation = (struct creation){true, AT_FDCWD, argument[0], 0, argument[1], 0, S_IFREG | (argument[2] & 07777), 0};
        break;
    case SYS_creat:
        *creation =
            (struct creation){true, AT_FDCWD, argument[0], 0, O_CREAT | O_WRONLY | O_TRUNC, 0, S_IFREG | (argument[1] & 07777), 0};
        break;
    case SYS_mkdir: *creation = (struct creation){false, AT_FDCWD, argument[0], 0, 0, 0, S_IFDIR | (argument[1] & 01777), 0}; break;
    case SYS_symlink: *creation = (struct creation){false, AT_FDCWD, argument[1], argument[0], 0, 0, S_IFLNK, 0}; break;
    case SYS_mknod:
        *creation = (struct creation){false, AT_FDCWD, argument[0], 0, 0, 0, (mode_t)argument[1], (uint32_t)argument[2]};
        break;
#endif
    case SYS_openat:
        *creation =
            (struct creation){true, (int)argument[0], argument[1], 0, argument[2], 0, S_IFREG | (argument[3] & 07777), 0};
        break;
    case SYS_openat2: {
        struct open_how how;
        if (caller_read(worker, caller, argument[2], &how, sizeof how) != sizeof how) return -1;
        // There the path is read in another way.
        if (how.resolve & RESOLVE_IN_ROOT) return -1;
        *creation = (struct creation){true, (int)argument[0], argument[1], 0, how.flags, how.resolve, S_IFREG | (how.mode & 07777), 0};
        break;
    }
    case SYS_mkdirat:
        *creation = (struct creation){false, (int)argument[0], argument[1], 0, 0, 0, S_IFDIR | (argument[2] & 01777), 0};
        break;
    case SYS_symlinkat: *creation = (struct creation){false, (int)argument[1], argument[2], argument[0], 0, 0, S_IFLNK, 0}; break;
    case SYS_mknodat:
        *creation = (struct creation){false, (int)argument[0], argument[1], 0, 0, 0, (mode_t)argument[2], (uint32_t)argument[3]};
        break;
    default: return -1;
    }
    if (!(creation->mode & S_IFMT)) creation->mode |= S_IFREG;
    return 0;
}

static bool makes_nameless(const struct creation *creation) { return (creation->flags & O_TMPFILE) == O_TMPFILE; }

// The umask of a process, which only its own /proc tells.
static mode_t mask_of(struct worker *worker, const struct caller *caller) {
    char name[32], text[512];
    snprintf(name, sizeof name, "%d/status", caller->thread);
    int file = openat(worker->shared->proc, name, O_RDONLY | O_CLOEXEC);
    ssize_t count = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (file >= 0) close(file);
    if (count <= 0) return 022;
    text[count] = 0;
    const char *line = strstr(text, "\nUmask:");
    return line ? (mode_t)strtoul(line + strlen("\nUmask:"), NULL, 8) : 022;
}

static bool is_device(const struct creation *creation) {
    // 0:0 is a mark of overlayfs, and can be made.
    return (S_ISCHR(creation->mode) && creation->device != 0) || S_ISBLK(creation->mode);
}

static int make(struct worker *worker, struct caller *caller, const struct creation *creation, const struct place *place) {
    mode_t permissions = creation->mode & 07777;
    if (S_ISDIR(creation->mode)) return mkdir(place->path, permissions);
    if (!S_ISLNK(creation->mode)) return mknod(place->path, permissions | (is_device(creation) ? S_IFREG : creation->mode & S_IFMT), 0);
    char text[PATH_MAX];
    if (caller_read_string(worker, caller, creation->target_address, text) < 0) {
        errno = EFAULT;
        return -1;
    }
    return symlink(text, place->path);
}

static struct answer make_and_keep(
    struct worker *worker, struct caller *caller, const struct creation *creation, struct place *place,
    const struct record *record) {
    umask(mask_of(worker, caller));
    int result = make(worker, caller, creation, place), error = errno;
    umask(0);
    if (result < 0) return failed(error);
    struct stat status;
    place->follows = false;
    if (place_status(place, &status) < 0) return failed(errno);
    error = record_write(place, &status, record);
    return error && error != ENOTSUP ? failed(error) : (struct answer){ANSWER_VALUE, 0};
}

static struct answer open_and_keep(
    struct worker *worker, struct caller *caller, const struct creation *creation, const struct place *place,
    const struct record *record) {
    struct open_how how = {
        .flags = creation->flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, .mode = creation->mode & 07777, .resolve = creation->resolve};
    umask(mask_of(worker, caller));
    int file = (int)syscall(SYS_openat2, AT_FDCWD, place->path, &how, sizeof how), error = errno;
    umask(0);
    if (file < 0) return failed(error);
    error = record_write_open(file, record);
    if (error && error != ENOTSUP) {
        close(file);
        return failed(error);
    }
    return answer_with_file(worker, caller, file, creation->flags);
}

// A file that is there already: the kernel opens it, unless the caller may not have it.
static struct answer open_known(
    const struct identity *own, const struct creation *creation, const struct place *place, const struct stat *status) {
    if (own->holds_rights || (creation->flags & O_PATH)) return to_kernel;
    uint64_t access = creation->flags & O_ACCMODE;
    int wanted = access == O_RDONLY ? R_OK : access == O_WRONLY ? W_OK : R_OK | W_OK;
    if (creation->flags & O_TRUNC) wanted |= W_OK;
    return place_allows(place, status, own, wanted) ? to_kernel : failed(EACCES);
}

struct answer answer_creation(struct worker *worker, struct caller *caller, const struct seccomp_data *call) {
    const struct identity *own = identity_of(worker->shared, caller->thread);
    struct creation creation;
    struct place place, parent;
    struct stat status, folder;
    if (read_arguments(worker, caller, call, &creation) < 0) return to_kernel;
    bool can_make = !creation.opens || (creation.flags & O_CREAT) || makes_nameless(&creation);
    if (!can_make && own->holds_rights) return to_kernel;
    int follows = creation.opens && !(creation.flags & (O_NOFOLLOW | O_EXCL)) ? FOLLOWS : 0;
    if (place_enter(worker, caller, creation.folder, creation.address, follows, &place) < 0) return to_kernel;
    size_t length = strlen(place.path);
    while (length > 1 && place.path[length - 1] == '/') place.path[--length] = 0;
    if (!place_is_reached(&place, own)) return failed(EACCES);
    if (!makes_nameless(&creation) && record_status(&place, &status) == 0)
        return creation.opens && !(creation.flags & O_EXCL) ? open_known(own, &creation, &place, &status) : to_kernel;
    if (!can_make) return to_kernel;

    place_parent(&place, &parent);
    if (makes_nameless(&creation)) parent = place;
    if (place_status(&parent, &folder) < 0) return to_kernel;
    // Who may do all, in a folder that hands nothing on: no attribute has to be read.
    bool inherits = folder.st_mode & S_ISGID;
    if (!inherits && own->users[3] == 0 && own->groups[3] == 0 && own->holds_rights && !is_device(&creation)) return to_kernel;
    if (record_status(&parent, &folder) < 0) return to_kernel;
    if (!identity_may(own, &folder, W_OK | X_OK)) return failed(EACCES);
    if (is_device(&creation) && !own->holds_rights) return failed(EPERM);
    struct record record = {
        .user = own->users[3], .group = inherits ? folder.st_gid : own->groups[3],
        .type = is_device(&creation) ? creation.mode & S_IFMT : 0, .device = creation.device};
    if (record.user == 0 && record.group == 0 && record.type == 0) return to_kernel;
    return creation.opens ? open_and_keep(worker, caller, &creation, &place, &record)
                 : make_and_keep(worker, caller, &creation, &place, &record);
}
