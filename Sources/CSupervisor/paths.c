// Where a path of the command's leads. Names are followed one by one as far as /proc has links that only the kernel can follow
// (/proc/PID/root, cwd, exe, fd/N); what comes behind one is a path in the command's root again.

#include "supervisor.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// MARK: a first look

// Whether `path` is `name`, or below it.
static int is_below(const char *path, const char *name) {
    size_t length = strlen(name);
    return strncmp(path, name, length) == 0 && (path[length] == 0 || path[length] == '/');
}

int path_concerns(const struct supervisor *shared, const char *path) {
    if (path[0] != '/') return strstr(path, "proc") != NULL || (path[0] != 0 && shared->proc_is_cwd);
    while (path[1] == '/') path++;
    if (is_below(path, "/proc") || strcmp(path, "/etc/mtab") == 0 || strcmp(path, "/dev/ptmx") == 0) return 1;
    if (strncmp(path, "/dev/", 5) == 0 && (shared->plan->serves_devices || is_below(path, "/dev/fd") || strncmp(path, "/dev/std", 8) == 0))
        return 1;
    // `/usr/../proc`, `/./dev`.
    return (strstr(path, "/..") || strstr(path, "/.")) && (strstr(path, "proc") || strstr(path, "dev"));
}

// MARK: text

// Takes out `.`, `..`, doubled and final slashes; an absolute path.
static void make_plain(char *path) {
    char *out = path;
    const char *in = path;
    while (*in) {
        while (*in == '/') in++;
        size_t length = strcspn(in, "/");
        if (length == 0) break;
        if (length == 2 && in[0] == '.' && in[1] == '.') {
            while (out > path && *--out != '/') {}
        } else if (!(length == 1 && in[0] == '.')) {
            *out++ = '/';
            memmove(out, in, length);
            out += length;
        }
        in += length;
    }
    if (out == path) *out++ = '/';
    *out = 0;
}

// `text` = `text` + `more`. 0, or -1 when that is too long.
static int append(char text[PATH_MAX], const char *more) {
    size_t length = strlen(text), added = strlen(more);
    if (length + added >= PATH_MAX) return -1;
    memcpy(text + length, more, added + 1);
    return 0;
}

static void fail(struct target *target, int error) {
    target->kind = TARGET_ERROR;
    target->error = error;
}

int path_enter_root(struct worker *worker, struct caller *caller, char text[PATH_MAX]) {
    if (caller_find_root(worker, caller) < 0) return -1;
    size_t length = caller->root_length;
    if (strncmp(text, caller->root, length) != 0 || (text[length] != 0 && text[length] != '/')) return -1;
    memmove(text, text + length, strlen(text + length) + 1);
    if (text[0] == 0) strcpy(text, "/");
    return 0;
}

ssize_t path_read_link(struct worker *worker, struct caller *caller, const char *path, char text[PATH_MAX]) {
    caller_lend_identity(caller);
    ssize_t length = readlinkat(worker->shared->proc, path, text, PATH_MAX - 1);
    int error = errno;
    caller_return_identity(caller);
    if (length >= 0) text[length] = 0;
    errno = error;
    return length;
}

// MARK: processes

// Whether a process descends from the command's parent: a process of the pod that does not is none of its business.
static int belongs(struct worker *worker, pid_t process) {
    pid_t init = worker->shared->init;
    // 64: deeper than people nest; a number that is used again meanwhile must not make an endless way of it.
    for (int level = 0; level < 64 && process > 1; level++) {
        char name[32], text[512];
        snprintf(name, sizeof name, "%d/stat", process);
        int file = openat(worker->shared->proc, name, O_RDONLY | O_CLOEXEC);
        if (file < 0) return 0;
        ssize_t count = read(file, text, sizeof text - 1);
        close(file);
        if (count <= 0) return 0;
        text[count] = 0;
        const char *at = strrchr(text, ')'); // the end of the name, which may hold anything
        if (!at || sscanf(at + 1, " %*c %d", &process) != 1) return 0;
        if (process == init) return 1;
    }
    return 0;
}

// MARK: below /proc

// Takes the first name off `rest`, without its slash.
static void take_name(const char **rest, char name[NAME_MAX + 1]) {
    while (**rest == '/') (*rest)++;
    size_t length = strcspn(*rest, "/");
    if (length > NAME_MAX) length = NAME_MAX;
    memcpy(name, *rest, length);
    name[length] = 0;
    *rest += length;
}

static int is_number(const char *name) {
    if (*name == 0) return 0;
    for (; *name; name++)
        if (!isdigit((unsigned char)*name)) return 0;
    return 1;
}

// A link that only the kernel can follow, at `target->path`. What comes behind it makes a new path: 1, else 0.
static int follow_magic_link(
    struct worker *worker, struct caller *caller, const char *rest, char path[PATH_MAX], struct target *target) {
    if (*rest == 0) {
        target->is_link = 1;
        return 0;
    }
    char text[PATH_MAX];
    if (path_read_link(worker, caller, target->path, text) < 0) {
        fail(target, errno);
    } else if (text[0] != '/' || path_enter_root(worker, caller, text) < 0 || append(text, rest) < 0) {
        fail(target, ENOENT);
    } else {
        strcpy(path, text);
        make_plain(path);
        return 1;
    }
    return 0;
}

// `rest` is below the folder of a process or thread, whose name is in `target->path`. 1 when `path` is to be looked at anew.
static int resolve_in_process(
    struct worker *worker, struct caller *caller, const char *rest, char path[PATH_MAX], struct target *target) {
    char name[NAME_MAX + 1];
    const char *behind = rest;
    take_name(&behind, name);
    int is_last = *behind == 0;
    if (is_last && strcmp(name, "mounts") == 0) {
        target->kind = TARGET_MOUNTS;
    } else if (is_last && strcmp(name, "mountinfo") == 0) {
        target->kind = TARGET_MOUNTINFO;
    } else if (strcmp(name, "task") == 0 && !is_last) {
        char thread[NAME_MAX + 1];
        take_name(&behind, thread);
        if (append(target->path, "/task/") < 0 || append(target->path, thread) < 0) fail(target, ENAMETOOLONG);
        else if (*behind) return resolve_in_process(worker, caller, behind, path, target);
    } else if (strcmp(name, "exe") == 0 || strcmp(name, "cwd") == 0 || strcmp(name, "root") == 0) {
        append(target->path, "/");
        append(target->path, name);
        return follow_magic_link(worker, caller, behind, path, target);
    } else if (strcmp(name, "fd") == 0 && !is_last) {
        char number[NAME_MAX + 1];
        take_name(&behind, number);
        if (append(target->path, "/fd/") < 0 || append(target->path, number) < 0) fail(target, ENAMETOOLONG);
        else return follow_magic_link(worker, caller, behind, path, target);
    } else if (strcmp(name, "map_files") == 0 && !is_last) {
        fail(target, EPERM); // the kernel's answer to who lacks CAP_CHECKPOINT_RESTORE
    } else if (append(target->path, rest) < 0) {
        fail(target, ENAMETOOLONG);
    }
    return 0;
}

// `path` is plain, and /proc or below. 1 when it is to be looked at anew.
static int resolve_in_proc(
    struct worker *worker, struct caller *caller, char path[PATH_MAX], int follows, struct target *target) {
    char name[NAME_MAX + 1], copy[PATH_MAX];
    strcpy(copy, path);
    const char *rest = copy + strlen("/proc");
    take_name(&rest, name);
    int is_last = *rest == 0;
    target->kind = TARGET_PROC;
    if (name[0] == '.') {
        target->kind = TARGET_OTHER; // of the skeleton
        return 0;
    }
    if (name[0] == 0) {
        strcpy(target->path, ".");
        target->is_global = 1;
        return 0;
    }
    // Links that lead to what is the caller's own.
    int is_thread = strcmp(name, "thread-self") == 0;
    int is_mounts = strcmp(name, "mounts") == 0, is_net = strcmp(name, "net") == 0;
    if (is_thread || is_mounts || is_net || strcmp(name, "self") == 0) {
        char own[32];
        snprintf(own, sizeof own, is_thread ? "%d/task/%d" : "%d", caller->process, caller->thread);
        strcpy(target->path, own);
        if (is_last && !follows) {
            strcpy(target->text, is_mounts ? "self/mounts" : is_net ? "self/net" : own);
            return 0;
        }
        char below[PATH_MAX];
        strcpy(below, is_mounts ? "/mounts" : is_net ? "/net" : "");
        if (append(below, rest) < 0) {
            fail(target, ENAMETOOLONG);
            return 0;
        }
        return below[0] ? resolve_in_process(worker, caller, below, path, target) : 0;
    }
    if (is_number(name)) {
        pid_t process = (pid_t)strtol(name, NULL, 10);
        if (process != caller->process && process != caller->thread && !belongs(worker, process)) {
            fail(target, ENOENT);
            return 0;
        }
        strcpy(target->path, name);
        return is_last ? 0 : resolve_in_process(worker, caller, rest, path, target);
    }
    target->is_global = 1;
    strcpy(target->path, copy + strlen("/proc/"));
    return 0;
}

// MARK: all of it

// Makes a path absolute in the caller's root, and plain. 0, or -1.
static int make_absolute(struct worker *worker, struct caller *caller, const char *path, char result[PATH_MAX]) {
    if (path[0] == '/') {
        strcpy(result, path);
    } else {
        char link[32];
        snprintf(link, sizeof link, "%d/cwd", caller->thread);
        // A real /proc, that of an open folder, is the kernel's.
        if (path_read_link(worker, caller, link, result) < 0 || path_enter_root(worker, caller, result) < 0) return -1;
        if (append(result, "/") < 0 || append(result, path) < 0) return -1;
    }
    make_plain(result);
    return 0;
}

static int is_device(const struct supervisor *shared, const char *path) {
    // A node beside no devpts has no terminals to give. Their own names are not served: others of the pod have some there, too.
    if (strcmp(path, "/dev/ptmx") == 0) return 1;
    static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"};
    for (size_t i = 0; i < sizeof devices / sizeof devices[0] && shared->plan->serves_devices; i++)
        if (strcmp(path, devices[i]) == 0) return 1;
    return 0;
}

void path_resolve(struct worker *worker, struct caller *caller, const char *given, int follows, struct target *target) {
    char path[PATH_MAX];
    memset(target, 0, offsetof(struct target, path));
    target->path[0] = target->text[0] = 0;
    target->kind = TARGET_OTHER;
    if (caller_identify(worker, caller) < 0 || make_absolute(worker, caller, given, path) < 0) return;
    // 8: more links of links than anybody makes on purpose.
    for (int level = 0; level < 8; level++) {
        if (is_below(path, "/dev/fd") && (follows || path[strlen("/dev/fd")])) {
            char below[PATH_MAX];
            strcpy(below, path + strlen("/dev/fd"));
            strcpy(path, "/proc/self/fd");
            if (append(path, below) < 0) return fail(target, ENAMETOOLONG);
        }
        const char *const streams[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
        for (int i = 0; i < 3 && follows; i++)
            if (strcmp(path, streams[i]) == 0) snprintf(path, sizeof path, "/proc/self/fd/%d", i);
        if (follows && strcmp(path, "/etc/mtab") == 0) strcpy(path, "/proc/self/mounts");
        if (is_below(path, "/proc")) {
            target->path[0] = 0;
            if (!resolve_in_proc(worker, caller, path, follows, target)) return;
            continue;
        }
        target->kind = is_device(worker->shared, path) ? TARGET_DEVICE : level == 0 ? TARGET_OTHER : TARGET_ROOT;
        strcpy(target->path, path);
        return;
    }
    fail(target, ELOOP);
}
