// Where a caller's path leads. The thread goes to the caller's root and folder, and the kernel follows the path from there: symlinks, `..` and
// mounts are what they are for the caller. The process that does this has nothing else to do with its root.

#include "owners.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

// To the builder's /proc; its names are reached from there whatever the root is.
static int go_to_proc(struct worker *worker) { return fchdir(worker->shared->proc); }

int place_enter_open(struct worker *worker, struct caller *caller, int file, struct place *place) {
    place->follows = true;
    place->is_open = true;
    snprintf(place->path, sizeof place->path, "%d/fd/%d", caller->thread, file);
    return go_to_proc(worker);
}

// Rewrites a path that leads to the caller by `self`, which would be this thread, into one below the builder's /proc. 1 when it did.
static int name_caller(const struct caller *caller, char path[PATH_MAX]) {
    static const struct {
        const char *name, *below;
    } own[] = {
        {"/proc/self", ""}, {"/proc/thread-self", ""}, {"/dev/fd", "/fd"}, {"/dev/stdin", "/fd/0"}, {"/dev/stdout", "/fd/1"},
        {"/dev/stderr", "/fd/2"},
    };
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        size_t length = strlen(own[i].name);
        if (strncmp(path, own[i].name, length) != 0 || (path[length] != 0 && path[length] != '/')) continue;
        char name[64];
        int count = snprintf(name, sizeof name, "%d%s", caller->thread, own[i].below);
        size_t rest = strlen(path + length) + 1;
        if ((size_t)count + rest > PATH_MAX) return 0;
        memmove(path + count, path + length, rest);
        memcpy(path, name, (size_t)count);
        return 1;
    }
    return 0;
}

int place_enter(
    struct worker *worker, struct caller *caller, int folder, uint64_t address, int flags, struct place *place) {
    place->follows = flags & FOLLOWS;
    place->is_open = false;
    // Newer C libraries give no path at all with AT_EMPTY_PATH.
    if (address == 0 && (flags & EMPTY_PATH_MEANS_FOLDER)) place->path[0] = 0;
    else if (caller_read_string(worker, caller, address, place->path) < 0) return -1;
    if (place->path[0] == 0) {
        if (!(flags & EMPTY_PATH_MEANS_FOLDER)) return -1;
        if (folder != AT_FDCWD) return place_enter_open(worker, caller, folder, place);
        strcpy(place->path, ".");
    }
    char name[48];
    if (go_to_proc(worker) < 0) return -1;
    snprintf(name, sizeof name, "%d/root", caller->thread);
    if (chroot(name) < 0) return -1;
    if (place->path[0] == '/' && name_caller(caller, place->path)) return 0;
    if (place->path[0] == '/') return 0;
    if (folder == AT_FDCWD) snprintf(name, sizeof name, "%d/cwd", caller->thread);
    else snprintf(name, sizeof name, "%d/fd/%d", caller->thread, folder);
    return chdir(name);
}

int place_status(const struct place *place, struct stat *status) {
    return fstatat(AT_FDCWD, place->path, status, place->follows ? 0 : AT_SYMLINK_NOFOLLOW);
}

void place_parent(const struct place *place, struct place *parent) {
    *parent = *place;
    parent->follows = true;
    char *end = strrchr(parent->path, '/');
    if (!end) strcpy(parent->path, ".");
    else if (end == parent->path) end[1] = 0;
    else *end = 0;
}

bool place_allows(const struct place *place, const struct stat *status, const struct identity *identity, int wanted) {
    struct statfs system;
    if (!(S_ISREG(status->st_mode) || S_ISDIR(status->st_mode)) || identity_may(identity, status, wanted)) return true;
    if (statfs(place->path, &system) < 0) return true;
    return system.f_type == PROC_SUPER_MAGIC || system.f_type == SYSFS_MAGIC;
}

bool place_is_reached(const struct place *place, const struct identity *identity) {
    if (identity->holds_rights || place->is_open) return true;
    struct place folder = {.follows = true};
    for (const char *slash = strchr(place->path, '/'); slash; slash = strchr(slash + 1, '/')) {
        struct stat status;
        size_t length = slash == place->path ? 1 : (size_t)(slash - place->path);
        memcpy(folder.path, place->path, length);
        folder.path[length] = 0;
        if (record_status(&folder, &status) == 0 && !place_allows(&folder, &status, identity, X_OK)) return false;
    }
    return true;
}
