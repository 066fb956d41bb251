// What one step of a spawn plan does. Called between clone and exec: raw calls and stack memory only.

#include "spawn_internal.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

// MARK: names in the root

static int open_in_root(const struct spawn_state *state, const char *path) {
    return imgbuild_openat2(state->root, path, O_PATH | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

// Tells of a name made in `parent`, by its real path in the root; names on other file systems (a tmpfs of ours) leave no trace and
// are not told.
static void report_created(const struct spawn_state *state, int parent, const char *name) {
    struct stat root, folder;
    if (fstat(state->root, &root) < 0 || fstat(parent, &folder) < 0 || root.st_dev != folder.st_dev) return;
    char link[32] = "/proc/self/fd/", top[PATH_MAX], path[2 * PATH_MAX];
    ssize_t lengths[2];
    for (int i = 0; i < 2; i++) {
        int number = i == 0 ? state->root : parent;
        char digits[12];
        int count = 0;
        do digits[count++] = (char)('0' + number % 10);
        while ((number /= 10) > 0);
        for (int digit = 0; digit < count; digit++) link[14 + digit] = digits[count - 1 - digit];
        link[14 + count] = 0;
        lengths[i] = readlink(link, i == 0 ? top : path, PATH_MAX - 1);
        if (lengths[i] < 0) return;
    }
    if (lengths[1] < lengths[0] || memcmp(top, path, (size_t)lengths[0]) != 0) return;
    size_t length = (size_t)lengths[1], name_length = strlen(name);
    if (length + 1 + name_length - (size_t)lengths[0] >= PATH_MAX) return;
    path[length] = '/';
    memcpy(path + length + 1, name, name_length + 1);
    spawn_report(state->status, SPAWN_CREATED, state->step, 0, path + lengths[0]);
}

// Opens `path` in the root, making what is missing: folders (0755), and an empty file (0644) at the end unless `directory`. A dangling
// symlink on the way is followed, clamped to the root, and its target made (as with /etc/resolv.conf -> ../run/...).
static int make_in_root(const struct spawn_state *state, const char *path, int directory, mode_t mode) {
    int found = open_in_root(state, path);
    if (found >= 0 || errno != ENOENT) return found;
    char work[PATH_MAX], next[PATH_MAX], link[PATH_MAX];
    if (strlen(path) >= sizeof work) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(work, path);
    for (int links = 0; links < 40; links++) { // 40: the kernel's own limit for one lookup
        int parent = open_in_root(state, "/");
        if (parent < 0) return -1;
        char *at = work;
        int again = 0;
        while (!again) {
            while (*at == '/') at++;
            if (*at == 0) return parent;
            char *name = at;
            at = strchrnul(at, '/');
            char saved = *at;
            *at = 0;
            int last = saved == 0 || at[1 + strspn(at + 1, "/")] == 0;
            int opened = open_in_root(state, work);
            if (opened < 0 && errno == ENOENT) {
                mode_t mask = umask(0);
                int made = -1;
                if (last && !directory) {
                    made = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
                    if (made >= 0) close(made);
                } else {
                    made = mkdirat(parent, name, last ? mode : 0755);
                }
                umask(mask);
                if (made >= 0) {
                    report_created(state, parent, name);
                    opened = open_in_root(state, work);
                } else if (errno == EEXIST) {
                    ssize_t length = readlinkat(parent, name, link, sizeof link - 1);
                    if (length < 0) return -1;
                    link[length] = 0;
                    *at = saved;
                    size_t before = link[0] == '/' ? 0 : (size_t)(name - work);
                    if (before + (size_t)length + strlen(at) >= sizeof next) {
                        errno = ENAMETOOLONG;
                        return -1;
                    }
                    memcpy(next, work, before);
                    strcpy(next + before, link);
                    strcat(next, at);
                    strcpy(work, next);
                    again = 1;
                }
            }
            if (again) break;
            if (opened < 0) return -1;
            close(parent);
            parent = opened;
            *at = saved;
        }
        close(parent);
    }
    errno = ELOOP;
    return -1;
}

// MARK: mounts

static const char *attach(int tree, int target, uint64_t attributes, int recursive) {
    if (attributes != 0) {
        struct mount_attr change = {.attr_set = attributes};
        unsigned int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
        if (syscall(SYS_mount_setattr, tree, "", flags, &change, sizeof change) < 0) return "mount_setattr";
    }
    if (move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0) return "move_mount";
    return NULL;
}

static const char *mount_on_descriptor(int target, const struct spawn_step *step) {
    if (fchdir(target) < 0) return "fchdir";
    if (mount(step->source, ".", step->type, step->flags, step->data) == 0) return NULL;
    if (errno == EINVAL && step->fallback)
        return mount(step->source, ".", step->type, step->flags, step->fallback) < 0 ? "mount" : NULL;
    // sysfs belongs to the network: with the builder's network in a user namespace there is no new one, but the builder's can be shown.
    if (errno != EPERM || strcmp(step->type, "sysfs") != 0) return "mount";
    int tree = open_tree(AT_FDCWD, "/sys", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0) return "open_tree";
    const char *call = attach(tree, target, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 1);
    close(tree);
    return call;
}

// A descriptor from before the clone belongs to a mount of the old namespace, which cannot be bound: its path is looked up in this
// one, and must lead to the same file.
static int clone_tree(const struct spawn_step *step, const char *path, unsigned int flags) {
    int tree = open_tree(AT_FDCWD, path, flags | (step->descriptor >= 0 ? AT_SYMLINK_NOFOLLOW : 0));
    if (tree < 0 || step->descriptor < 0) return tree;
    struct stat expected, found;
    if (fstat(step->descriptor, &expected) < 0 || fstat(tree, &found) < 0) return -1;
    if (expected.st_dev == found.st_dev && expected.st_ino == found.st_ino) return tree;
    errno = ESTALE;
    return -1;
}

static const char *bind_in_root(const struct spawn_step *step, const struct spawn_state *state) {
    char path[PATH_MAX];
    if (step->descriptor >= 0) {
        // `source` is the /proc/self/fd link of the descriptor.
        ssize_t length = readlink(step->source, path, sizeof path - 1);
        if (length < 0) return "readlink";
        path[length] = 0;
    }
    int recursive = (step->flags & SPAWN_BIND_RECURSIVE) != 0;
    unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
    int tree = clone_tree(step, step->descriptor >= 0 ? path : step->source, flags);
    if (tree < 0) return "open_tree";
    struct stat source;
    if (fstat(tree, &source) < 0) return "fstat";
    int directory = S_ISDIR(source.st_mode);
    int target = make_in_root(state, step->target, directory, 0755);
    if (target < 0) return "openat2";
    // A folder of files brings no device nodes along; a device node bound by itself is meant.
    uint64_t attributes = (step->flags & SPAWN_BIND_READ_ONLY ? MOUNT_ATTR_RDONLY : 0) | (directory ? MOUNT_ATTR_NODEV : 0);
    const char *call = attach(tree, target, attributes, recursive);
    close(tree);
    close(target);
    return call;
}

static const char *make_read_only(const struct spawn_step *step, const struct spawn_state *state) {
    int target = open_in_root(state, step->target);
    if (target < 0) return errno == ENOENT || errno == ENOTDIR ? NULL : "openat2";
    int tree = open_tree(target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_EMPTY_PATH);
    if (tree < 0) return "open_tree";
    const char *call = attach(tree, target, MOUNT_ATTR_RDONLY, 1);
    close(tree);
    close(target);
    return call;
}

static const char *mask(const struct spawn_step *step, const struct spawn_state *state) {
    int target = open_in_root(state, step->target);
    if (target < 0) return errno == ENOENT || errno == ENOTDIR ? NULL : "openat2";
    struct stat status;
    const char *call;
    if (fstat(target, &status) < 0) {
        call = "fstat";
    } else if (S_ISDIR(status.st_mode)) {
        struct spawn_step empty = {
            .source = "tmpfs", .type = "tmpfs", .flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, .data = "size=0k"};
        call = mount_on_descriptor(target, &empty);
    } else {
        int tree = open_tree(AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        call = tree < 0 ? "open_tree" : attach(tree, target, MOUNT_ATTR_RDONLY, 0);
        if (tree >= 0) close(tree);
    }
    close(target);
    return call;
}

static const char *symlink_in_root(const struct spawn_step *step, const struct spawn_state *state) {
    char parent[PATH_MAX];
    const char *slash = strrchr(step->target, '/');
    size_t length = slash ? (size_t)(slash - step->target) : 0;
    if (length >= sizeof parent) {
        errno = ENAMETOOLONG;
        return "symlinkat";
    }
    memcpy(parent, step->target, length);
    parent[length] = 0;
    int folder = open_in_root(state, length == 0 ? "/" : parent);
    if (folder < 0) return "openat2";
    int result = symlinkat(step->source, folder, slash ? slash + 1 : step->target);
    int error = errno;
    close(folder);
    errno = error;
    return result < 0 && error != EEXIST ? "symlinkat" : NULL;
}

static const char *write_file(const struct spawn_step *step) {
    int file = open(step->target, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) return "open";
    const char *rest = step->data;
    uint64_t count = step->flags;
    const char *call = NULL;
    while (count > 0) {
        ssize_t written = write(file, rest, count);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            call = "write";
            break;
        }
        rest += written;
        count -= (uint64_t)written;
    }
    // The mode after the owner: a change of owner takes setuid and setgid away.
    if (!call && fchown(file, step->ids[0], step->ids[1]) < 0) call = "fchown";
    if (!call && fchmod(file, step->mode) < 0) call = "fchmod";
    int error = errno;
    close(file);
    errno = error;
    return call;
}

static const char *pivot(struct spawn_state *state) {
    if (fchdir(state->root) < 0) return "fchdir";
    // pivot_root(2): with both names the same, the old root lies over the new one until it is detached.
    if (syscall(SYS_pivot_root, ".", ".") < 0) return "pivot_root";
    if (umount2(".", MNT_DETACH) < 0) return "umount2";
    close(state->root);
    state->root = -1;
    return chdir("/") < 0 ? "chdir" : NULL;
}

// MARK: the process itself

static const char *loopback_up(void) {
    int file = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (file < 0) return "socket";
    struct ifreq request = {.ifr_name = "lo"};
    const char *call = NULL;
    if (ioctl(file, SIOCGIFFLAGS, &request) < 0) call = "SIOCGIFFLAGS";
    request.ifr_flags |= IFF_UP;
    if (!call && ioctl(file, SIOCSIFFLAGS, &request) < 0) call = "SIOCSIFFLAGS";
    close(file);
    return call;
}

static const char *cut_bounding_set(uint64_t kept) {
    for (unsigned long capability = 0; capability < 64; capability++) {
        if (kept >> capability & 1) continue;
        int held = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
        if (held < 0) break; // past the kernel's last capability
        if (held == 1 && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) return "PR_CAPBSET_DROP";
    }
    return NULL;
}

static const char *cut_capabilities(uint64_t kept) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0) return "capget";
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(kept >> (32 * i));
        data[i].effective = data[i].permitted;
        data[i].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data) < 0) return "capset";
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) return "PR_CAP_AMBIENT";
    return NULL;
}

static const char *give_pipes(uid_t user) {
    for (int file = 0; file < 3; file++) {
        struct stat status;
        if (fstat(file, &status) < 0 || !S_ISFIFO(status.st_mode)) continue;
        // Not a pipe of ours, and not ours to give.
        if (fchown(file, user, (gid_t)-1) < 0 && errno != EPERM && errno != EINVAL) return "fchown";
    }
    return NULL;
}

const char *imgbuild_filter_calls(const void *filter, size_t count, int socket) {
    struct sock_fprog program = {.len = (unsigned short)count, .filter = (struct sock_filter *)(uintptr_t)filter};
    // WAIT_KILLABLE_RECV (Linux 5.19): a signal does not make a call start over that is being answered.
    unsigned int flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    int listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    if (listener < 0 && errno == EINVAL) {
        flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
        listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    }
    if (listener < 0) return "seccomp";
    char byte = 0;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
    memcpy(CMSG_DATA(&control.header), &listener, sizeof listener);
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    const char *call = sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? "sendmsg" : NULL;
    int error = errno;
    close(listener);
    errno = error;
    return call;
}

static const char *try_open(const char *path) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return "open";
    close(file);
    return NULL;
}

const char *spawn_step(const struct spawn_step *step, struct spawn_state *state) {
    switch ((enum spawn_step_kind)step->kind) {
    case SPAWN_MOUNTS_PRIVATE: return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? "mount" : NULL;
    case SPAWN_MOUNT:
        if (mount(step->source, step->target, step->type, step->flags, step->data) == 0) return NULL;
        if (errno != EINVAL || !step->fallback) return "mount";
        return mount(step->source, step->target, step->type, step->flags, step->fallback) < 0 ? "mount" : NULL;
    case SPAWN_SET_ROOT:
        state->root = open(step->target, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return state->root < 0 ? "open" : NULL;
    case SPAWN_MOUNT_IN_ROOT: {
        int target = make_in_root(state, step->target, 1, 0755);
        if (target < 0) return "openat2";
        const char *call = mount_on_descriptor(target, step);
        close(target);
        return call;
    }
    case SPAWN_BIND: return bind_in_root(step, state);
    case SPAWN_READ_ONLY: return make_read_only(step, state);
    case SPAWN_MASK: return mask(step, state);
    case SPAWN_MAKE_DIRECTORY: {
        int folder = make_in_root(state, step->target, 1, step->mode);
        if (folder < 0) return "openat2";
        close(folder);
        return NULL;
    }
    case SPAWN_WRITE_FILE: return write_file(step);
    case SPAWN_SYMLINK: return symlink_in_root(step, state);
    case SPAWN_PIVOT_ROOT: return pivot(state);
    case SPAWN_CHROOT:
        if (chroot(step->target) < 0) return "chroot";
        return chdir("/") < 0 ? "chdir" : NULL;
    case SPAWN_CHDIR: return chdir(step->target) < 0 ? "chdir" : NULL;
    case SPAWN_CHANGE_TO_DESCRIPTOR: return fchdir(step->descriptor) < 0 ? "fchdir" : NULL;
    case SPAWN_JOIN_USER_NAMESPACE: return setns(step->descriptor, CLONE_NEWUSER) < 0 ? "setns" : NULL;
    case SPAWN_HOST_NAME: return sethostname(step->source, strlen(step->source)) < 0 ? "sethostname" : NULL;
    case SPAWN_LOOPBACK_UP: return loopback_up();
    case SPAWN_UMASK: umask(step->mode); return NULL;
    case SPAWN_GIVE_PIPES: return give_pipes(step->mode);
    case SPAWN_BOUNDING_SET: return cut_bounding_set(step->flags);
    case SPAWN_GROUPS: return syscall(SYS_setgroups, (size_t)step->id_count, step->ids) < 0 ? "setgroups" : NULL;
    case SPAWN_GROUP: return syscall(SYS_setresgid, step->mode, step->mode, step->mode) < 0 ? "setresgid" : NULL;
    case SPAWN_USER: return syscall(SYS_setresuid, step->mode, step->mode, step->mode) < 0 ? "setresuid" : NULL;
    case SPAWN_CAPABILITIES: return cut_capabilities(step->flags);
    case SPAWN_NO_NEW_PRIVILEGES: return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? "PR_SET_NO_NEW_PRIVS" : NULL;
    case SPAWN_FILTER_CALLS: return imgbuild_filter_calls(step->data, step->flags, step->descriptor);
    case SPAWN_OPEN_TO_OTHERS: return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 ? "PR_SET_DUMPABLE" : NULL;
    case SPAWN_TRY_OPEN: return try_open(step->target);
    }
    errno = EINVAL;
    return "step";
}
