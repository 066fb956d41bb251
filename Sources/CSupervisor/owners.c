// Owners where the user namespace has one id: what the kernel would refuse is kept beside the file (records.c), and told to whom asks.

#include "owners.h"

#include <fcntl.h>
#include <linux/stat.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static const struct answer to_kernel = {ANSWER_KERNEL, 0};

static struct answer failed(int error) { return (struct answer){ANSWER_ERROR, error}; }
static struct answer done(int64_t value) { return (struct answer){ANSWER_VALUE, value}; }

// Where the file of a call is. 0, or -1 where the kernel does the call.
static int enter(
    struct worker *worker, struct caller *caller, const struct owner_call *kind, const __u64 *argument, struct place *place) {
    int folder = kind->folder == NO_ARGUMENT ? AT_FDCWD : (int)argument[kind->folder];
    if (kind->path == NO_ARGUMENT) return place_enter_open(worker, caller, folder, place);
    int flags = kind->flags == NEVER_FOLLOWS ? 0 : FOLLOWS;
    if (kind->flags >= 0) {
        uint64_t at = argument[kind->flags];
        flags = (at & AT_SYMLINK_NOFOLLOW ? 0 : FOLLOWS) | (at & AT_EMPTY_PATH ? EMPTY_PATH_MEANS_FOLDER : 0);
    }
    return place_enter(worker, caller, folder, argument[kind->path], flags, place);
}

// MARK: owners

static struct answer change_owner(
    struct worker *worker, struct caller *caller, const struct place *place, uint64_t user, uint64_t group) {
    const struct identity *own = identity_of(worker->shared, caller->thread);
    struct stat status;
    struct record record = {0};
    if (!place_is_reached(place, own)) return failed(EACCES);
    if (place_status(place, &status) < 0) return to_kernel;
    if (!record_read(place, &record)) record = (struct record){.user = status.st_uid, .group = status.st_gid};
    bool keeps_user = (uid_t)user == (uid_t)-1, keeps_group = (gid_t)group == (gid_t)-1;
    if (!own->holds_rights) {
        if (own->users[3] != record.user || (!keeps_user && (uid_t)user != record.user)) return failed(EPERM);
        if (!keeps_group && (gid_t)group != record.group && !identity_is_member(own, (gid_t)group)) return failed(EPERM);
    }
    // The kernel's part: set-uid bits and capabilities are lost, the change time is now, a lower file is copied up.
    int flags = place->follows ? 0 : AT_SYMLINK_NOFOLLOW;
    if (fchownat(AT_FDCWD, place->path, keeps_user ? (uid_t)-1 : 0, keeps_group ? (gid_t)-1 : 0, flags) < 0) return failed(errno);
    if (!keeps_user) record.user = (uid_t)user;
    if (!keeps_group) record.group = (gid_t)group;
    int error = record_write(place, &status, &record);
    // Pipes, sockets that are open, /proc: never part of an image.
    return error && error != ENOTSUP && error != EAGAIN ? failed(error) : done(0);
}

// MARK: status

static struct answer tell_status(
    struct worker *worker, struct caller *caller, const struct seccomp_data *call, const struct place *place) {
    struct record record;
    if (!record_read(place, &record)) return to_kernel;
    if (call->nr == SYS_statx) {
        struct statx status;
        int flags = ((int)call->args[2] & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) | (place->follows ? 0 : AT_SYMLINK_NOFOLLOW);
        if (syscall(SYS_statx, AT_FDCWD, place->path, flags, (unsigned int)call->args[3], &status) < 0) return to_kernel;
        status.stx_uid = record.user;
        status.stx_gid = record.group;
        if (record.type) {
            status.stx_mode = (__u16)((status.stx_mode & ~S_IFMT) | record.type);
            status.stx_rdev_major = major(record.device);
            status.stx_rdev_minor = minor(record.device);
        }
        int error = caller_write(worker, caller, call->args[4], &status, sizeof status);
        return error ? failed(error) : done(0);
    }
    struct stat status; // as the kernel has it, on both architectures
    if (place_status(place, &status) < 0) return to_kernel;
    record_apply(&record, &status);
    uint64_t address = call->nr == SYS_newfstatat ? call->args[2] : call->args[1];
    int error = caller_write(worker, caller, address, &status, sizeof status);
    return error ? failed(error) : done(0);
}

static struct answer tell_attributes(
    struct worker *worker, struct caller *caller, const struct place *place, uint64_t address, uint64_t room) {
    char names[XATTR_LIST_MAX];
    struct stat status;
    ssize_t length = place->follows ? listxattr(place->path, names, sizeof names) : llistxattr(place->path, names, sizeof names);
    if (length <= 0 || place_status(place, &status) < 0) return to_kernel;
    size_t shown = record_hide(names, (size_t)length, status.st_mode);
    if (shown == (size_t)length) return to_kernel;
    if (room == 0) return done((int64_t)shown);
    if (room < shown) return failed(ERANGE);
    int error = shown > 0 ? caller_write(worker, caller, address, names, shown) : 0;
    return error ? failed(error) : done((int64_t)shown);
}

// MARK: permissions of who has given up its rights

static struct answer answer_access(const struct identity *own, const struct place *place, int mode) {
    struct stat status;
    if (!place_is_reached(place, own)) return failed(EACCES);
    if (record_status(place, &status) < 0) return to_kernel;
    return place_allows(place, &status, own, mode) ? to_kernel : failed(EACCES);
}

static struct answer answer_mode(const struct identity *own, const struct place *place) {
    struct stat status;
    if (!place_is_reached(place, own)) return failed(EACCES);
    if (record_status(place, &status) < 0) return to_kernel;
    return status.st_uid == own->users[3] ? to_kernel : failed(EPERM);
}

// Whether a name may be made or taken away where it is: 0, or an errno.
static int refuse_name(
    struct worker *worker, struct caller *caller, const struct identity *own, int folder, uint64_t address, bool removes) {
    struct place place, parent;
    struct stat status, held;
    if (place_enter(worker, caller, folder, address, 0, &place) < 0) return 0;
    if (!place_is_reached(&place, own)) return EACCES;
    bool exists = record_status(&place, &held) == 0;
    place_parent(&place, &parent);
    if (record_status(&parent, &status) < 0) return 0;
    if (!identity_may(own, &status, W_OK | X_OK)) return EACCES;
    bool is_kept = removes && exists && (status.st_mode & S_ISVTX) && held.st_uid != own->users[3] && status.st_uid != own->users[3];
    return is_kept ? EPERM : 0;
}

static struct answer answer_name(
    struct worker *worker, struct caller *caller, const struct identity *own, const struct owner_call *kind,
    const __u64 *argument) {
    bool makes = kind->number == SYS_linkat;
#ifdef SYS_link
    makes = makes || kind->number == SYS_link;
#endif
    int folder = kind->folder == NO_ARGUMENT ? AT_FDCWD : (int)argument[kind->folder];
    int error = refuse_name(worker, caller, own, folder, argument[kind->path], !makes);
    if (!error && kind->kind == CALL_RENAME) {
        bool is_plain = kind->folder == NO_ARGUMENT;
        error = refuse_name(worker, caller, own, is_plain ? AT_FDCWD : (int)argument[2], argument[is_plain ? 1 : 3], true);
    }
    return error ? failed(error) : to_kernel;
}

// MARK: programs

// Whether the kernel takes the bits of a file for set-uid and set-gid: not those of a script.
static bool gives_ids(const struct place *place, const struct stat *status) {
    char start[2] = "";
    if (!S_ISREG(status->st_mode) || !(status->st_mode & (S_ISUID | S_ISGID))) return false;
    int file = open(place->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return false;
    bool is_script = read(file, start, sizeof start) != sizeof start || memcmp(start, "#!", 2) == 0;
    close(file);
    return !is_script;
}

static struct answer answer_execute(
    struct worker *worker, struct caller *caller, const struct identity *own, const struct place *place) {
    struct stat status, plain;
    if (!place_is_reached(place, own)) return failed(EACCES);
    if (place_status(place, &plain) < 0 || record_status(place, &status) < 0 || !S_ISREG(status.st_mode)) return to_kernel;
    if (!place_allows(place, &status, own, X_OK)) return failed(EACCES);
    // What another has on the machine gives nothing, as its owner has no id here.
    if (plain.st_uid != 0 || !gives_ids(place, &status)) status.st_mode &= ~(mode_t)(S_ISUID | S_ISGID);
    identity_execute(worker->shared, caller->thread, &status);
    return to_kernel;
}

// MARK: which call it is

struct answer answer_owners(struct worker *worker, struct caller *caller, const struct seccomp_data *call) {
    const struct owner_call *kind = find_owner_call(call->nr);
    const __u64 *argument = call->args;
    struct place place;
    if (!kind) return to_kernel;
    if (kind->kind == CALL_IDENTITY) return answer_identity(worker, caller, call);
    if (kind->kind == CALL_LIMIT) return answer_limit(worker, caller, call);
    if (kind->kind == CALL_CREATION) return answer_creation(worker, caller, call);
    const struct identity *own = identity_of(worker->shared, caller->thread);
    bool asks_rights = kind->kind == CALL_ACCESS || kind->kind == CALL_MODE || kind->kind == CALL_NAME || kind->kind == CALL_RENAME;
    if (asks_rights && own->holds_rights) return to_kernel;
    if (kind->kind == CALL_NAME || kind->kind == CALL_RENAME) return answer_name(worker, caller, own, kind, argument);
    if (enter(worker, caller, kind, argument, &place) < 0) return to_kernel;
    int last = kind->path + 1; // the argument behind the file
    if (kind->path == NO_ARGUMENT) last = 1;
    switch (kind->kind) {
    case CALL_OWNER: return change_owner(worker, caller, &place, argument[last], argument[last + 1]);
    case CALL_STATUS: return tell_status(worker, caller, call, &place);
    case CALL_ATTRIBUTES: return tell_attributes(worker, caller, &place, argument[last], argument[last + 1]);
    case CALL_ACCESS: return answer_access(own, &place, (int)argument[last]);
    case CALL_EXECUTE: return answer_execute(worker, caller, own, &place);
    case CALL_MODE: return answer_mode(own, &place);
    default: return to_kernel;
    }
}
