// What is kept of a file beside it: an extended attribute of the file itself. It goes where the file goes: hard links, renames, copies that
// overlayfs makes, and the next build.
//
// A file or folder has it as `user.imgbuild.owner`. Symlinks, pipes and sockets can have no attribute of `user.*`; but they can have
// `security.capability`, which is of programs only (capabilities(7)): its two sets are owner and group there.

#include "owners.h"

#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char owner_name[] = "user.imgbuild.owner";
static const char capability_name[] = "security.capability";

// Both architectures are little-endian, and a folder of states stays on its machine.
struct kept {
    uint32_t user, group, type, device;
};

static ssize_t get(const struct place *place, const char *name, void *value, size_t size) {
    return place->follows ? getxattr(place->path, name, value, size) : lgetxattr(place->path, name, value, size);
}

static bool holds_user_attributes(mode_t mode) { return S_ISREG(mode) || S_ISDIR(mode); }

int record_read(const struct place *place, struct record *record) {
    struct kept kept;
    if (get(place, owner_name, &kept, sizeof kept) == sizeof kept) {
        *record = (struct record){kept.user, kept.group, kept.type, kept.device};
        return 1;
    }
    struct vfs_cap_data set;
    struct stat status;
    if (get(place, capability_name, &set, sizeof set) != sizeof set) return 0;
    if (place_status(place, &status) < 0 || holds_user_attributes(status.st_mode)) return 0;
    *record = (struct record){.user = set.data[0].permitted, .group = set.data[0].inheritable};
    return 1;
}

int record_write(const struct place *place, const struct stat *status, const struct record *record) {
    bool is_plain = holds_user_attributes(status->st_mode);
    const char *name = is_plain ? owner_name : capability_name;
    int result;
    if (record->user == 0 && record->group == 0 && record->type == 0) {
        result = place->follows ? removexattr(place->path, name) : lremovexattr(place->path, name);
        if (result < 0 && errno == ENODATA) return 0;
    } else {
        struct kept kept = {record->user, record->group, record->type, record->device};
        struct vfs_cap_data set = {.magic_etc = VFS_CAP_REVISION_2};
        set.data[0].permitted = record->user;
        set.data[0].inheritable = record->group;
        const void *value = is_plain ? (const void *)&kept : (const void *)&set;
        size_t size = is_plain ? sizeof kept : sizeof set;
        result = place->follows ? setxattr(place->path, name, value, size, 0) : lsetxattr(place->path, name, value, size, 0);
    }
    return result < 0 ? errno : 0;
}

int record_write_open(int file, const struct record *record) {
    struct kept kept = {record->user, record->group, record->type, record->device};
    return fsetxattr(file, owner_name, &kept, sizeof kept, 0) < 0 ? errno : 0;
}

size_t record_hide(char *names, size_t length, mode_t mode) {
    const char *own = holds_user_attributes(mode) ? owner_name : capability_name;
    size_t kept = 0;
    for (size_t at = 0; at < length;) {
        size_t size = strnlen(names + at, length - at) + 1;
        if (strcmp(names + at, own) != 0) {
            memmove(names + kept, names + at, size);
            kept += size;
        }
        at += size;
    }
    return kept;
}

void record_apply(const struct record *record, struct stat *status) {
    status->st_uid = record->user;
    status->st_gid = record->group;
    if (record->type == 0) return;
    status->st_mode = (status->st_mode & ~(mode_t)S_IFMT) | record->type;
    status->st_rdev = record->device;
}

int record_status(const struct place *place, struct stat *status) {
    struct record record;
    if (place_status(place, status) < 0) return -1;
    if (record_read(place, &record)) record_apply(&record, status);
    return 0;
}
