// Who a process is, where the user namespace has one id. Every process is that one to the kernel; here is whom it has become by its own calls.
//
// It is kept in the process itself, so that fork hands it on and exec leaves it, at the right moment and without a race: the soft limit
// RLIMIT_LOCKS, which no kernel since Linux 2.4.25 looks at (getrlimit(2)), is the number of its identity. Who has none is root.

#include "owners.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

// Marks a limit as ours: no other one is as large, and finite.
#define MARK ((rlim_t)0x696d67) // "img"
enum { MARK_SHIFT = 32, IDENTITY_LIMIT = 1 << 16 };

// As a container of Docker starts: in one group, its own.
static const struct identity *root_identity(void) {
    static const union {
        struct identity identity;
        char space[sizeof(struct identity) + sizeof(gid_t)];
    } root = {.identity = {.holds_rights = true, .extra_count = 1}};
    return &root.identity;
}

static size_t size_of(const struct identity *identity) {
    return sizeof *identity + identity->extra_count * sizeof identity->extra[0];
}

const struct identity *identity_of(const struct supervisor *shared, pid_t thread) {
    struct rlimit limit;
    if (prlimit(thread, RLIMIT_LOCKS, NULL, &limit) < 0 || limit.rlim_cur >> MARK_SHIFT != MARK) return root_identity();
    size_t number = limit.rlim_cur & (((rlim_t)1 << MARK_SHIFT) - 1);
    return number < shared->identity_count ? shared->identities[number] : root_identity();
}

// The number of an identity that is like this one. -1 when there is no room.
static int64_t find_or_add(struct supervisor *shared, const struct identity *identity) {
    for (size_t i = 0; i < shared->identity_count; i++) {
        const struct identity *known = shared->identities[i];
        if (size_of(known) == size_of(identity) && memcmp(known, identity, size_of(identity)) == 0) return (int64_t)i;
    }
    if (shared->identity_count == IDENTITY_LIMIT) return -1;
    struct identity **grown = realloc(shared->identities, (shared->identity_count + 1) * sizeof *grown);
    if (!grown) return -1;
    shared->identities = grown;
    struct identity *copy = malloc(size_of(identity));
    if (!copy) return -1;
    memcpy(copy, identity, size_of(identity));
    grown[shared->identity_count] = copy;
    return (int64_t)shared->identity_count++;
}

void identities_free(struct supervisor *shared) {
    for (size_t i = 0; i < shared->identity_count; i++) free(shared->identities[i]);
    free(shared->identities);
}

// 0, or an errno.
static int become(struct supervisor *shared, pid_t thread, const struct identity *identity) {
    struct rlimit limit;
    if (prlimit(thread, RLIMIT_LOCKS, NULL, &limit) < 0) return ESRCH;
    const struct identity *root = root_identity();
    if (size_of(identity) == size_of(root) && memcmp(identity, root, size_of(root)) == 0) {
        limit.rlim_cur = limit.rlim_max;
    } else {
        int64_t number = find_or_add(shared, identity);
        if (number < 0) return EAGAIN;
        limit.rlim_cur = MARK << MARK_SHIFT | (rlim_t)number;
    }
    return prlimit(thread, RLIMIT_LOCKS, &limit, NULL) < 0 ? EAGAIN : 0;
}

// MARK: rules of credentials(7)

// Leaves `id` as it is where `wanted` is -1. Whether it may become that: one of the three, or anything with rights.
static bool change(const struct identity *old, const uint32_t known[4], uint32_t *id, uint64_t wanted) {
    uint32_t value = (uint32_t)wanted;
    if (value == (uint32_t)-1) return true;
    *id = value;
    return old->holds_rights || value == known[0] || value == known[1] || value == known[2];
}

// What becomes of the rights of a process whose users have changed (capabilities(7)).
static void adjust_rights(const struct identity *old, struct identity *new) {
    bool was_root = old->users[0] == 0 || old->users[1] == 0 || old->users[2] == 0;
    bool is_root = new->users[0] == 0 || new->users[1] == 0 || new->users[2] == 0;
    // Who keeps them has them in its permitted set only, and fetches them by capset, which is not seen here.
    if (was_root && !is_root && !old->keeps_rights) new->holds_rights = false;
    if (is_root) new->holds_rights = new->users[1] == 0;
}

// set*uid and set*gid: `ids` are the four of `new`. 0, or an errno.
static int set_ids(
    const struct identity *old, const uint32_t known[4], uint32_t ids[4], int number, const __u64 *argument) {
    switch (number) {
    case SYS_setuid:
    case SYS_setgid:
        if ((uint32_t)argument[0] == (uint32_t)-1) return EINVAL;
        ids[1] = (uint32_t)argument[0];
        if (old->holds_rights) ids[0] = ids[2] = ids[1];
        else if (ids[1] != known[0] && ids[1] != known[2]) return EPERM;
        break;
    case SYS_setreuid:
    case SYS_setregid: {
        bool is_allowed = change(old, known, &ids[0], argument[0]);
        is_allowed = change(old, known, &ids[1], argument[1]) && is_allowed;
        if (!old->holds_rights && ids[0] != known[0] && ids[0] != known[1]) is_allowed = false;
        if (!is_allowed) return EPERM;
        if ((uint32_t)argument[0] != (uint32_t)-1 || ((uint32_t)argument[1] != (uint32_t)-1 && ids[1] != known[0])) ids[2] = ids[1];
        break;
    }
    default: // setresuid, setresgid
        for (int i = 0; i < 3; i++)
            if (!change(old, known, &ids[i], argument[i])) return EPERM;
    }
    ids[3] = ids[1];
    return 0;
}

static struct answer answered(int error) {
    return (struct answer){error ? ANSWER_ERROR : ANSWER_VALUE, error};
}

static struct answer set_groups(
    struct worker *worker, struct caller *caller, const struct identity *old, uint64_t count, uint64_t address) {
    if (!old->holds_rights) return answered(EPERM);
    if (count > NGROUPS_MAX) return answered(EINVAL);
    struct identity *new = calloc(1, sizeof *new + count * sizeof new->extra[0]);
    if (!new) return answered(ENOMEM);
    *new = *old;
    new->extra_count = (uint32_t)count;
    size_t bytes = count * sizeof new->extra[0];
    int error = 0;
    if (bytes > 0 && caller_read(worker, caller, address, new->extra, bytes) != (ssize_t)bytes) error = EFAULT;
    if (!error) error = become(worker->shared, caller->thread, new);
    free(new);
    return answered(error);
}

static struct answer change_identity(
    struct worker *worker, struct caller *caller, const struct identity *old, const struct seccomp_data *call) {
    struct identity *new = malloc(size_of(old));
    if (!new) return answered(ENOMEM);
    memcpy(new, old, size_of(old));
    struct answer answer = {ANSWER_VALUE, 0};
    int error = 0;
    uint32_t wanted = (uint32_t)call->args[0];
    switch (call->nr) {
    case SYS_setuid:
    case SYS_setreuid:
    case SYS_setresuid: error = set_ids(old, old->users, new->users, call->nr, call->args); break;
    case SYS_setgid:
    case SYS_setregid:
    case SYS_setresgid: error = set_ids(old, old->groups, new->groups, call->nr, call->args); break;
    // These two tell what was before, and never fail.
    case SYS_setfsuid:
        answer.value = old->users[3];
        if (old->holds_rights || wanted == old->users[0] || wanted == old->users[1] || wanted == old->users[2]) new->users[3] = wanted;
        if (wanted == (uint32_t)-1) new->users[3] = old->users[3];
        break;
    case SYS_setfsgid:
        answer.value = old->groups[3];
        if (old->holds_rights || wanted == old->groups[0] || wanted == old->groups[1] || wanted == old->groups[2])
            new->groups[3] = wanted;
        if (wanted == (uint32_t)-1) new->groups[3] = old->groups[3];
        break;
    case SYS_prctl: new->keeps_rights = call->args[1] != 0; break;
    }
    if (!error) {
        adjust_rights(old, new);
        error = become(worker->shared, caller->thread, new);
    }
    free(new);
    // The kernel keeps this one, too: who asks for it is answered by the kernel.
    if (call->nr == SYS_prctl) return (struct answer){ANSWER_KERNEL, 0};
    return error ? answered(error) : answer;
}

void identity_execute(struct supervisor *shared, pid_t thread, const struct stat *program) {
    const struct identity *old = identity_of(shared, thread);
    struct identity *new = malloc(size_of(old));
    if (!new) return;
    memcpy(new, old, size_of(old));
    if (program->st_mode & S_ISUID) new->users[1] = program->st_uid;
    // Without the group's right to execute the bit means something else (inode(7)).
    if ((program->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP)) new->groups[1] = program->st_gid;
    new->users[2] = new->users[3] = new->users[1];
    new->groups[2] = new->groups[3] = new->groups[1];
    new->holds_rights = new->users[0] == 0 || new->users[1] == 0;
    new->keeps_rights = false;
    if (memcmp(old, new, size_of(old)) != 0) become(shared, thread, new);
    free(new);
}

// MARK: answers

static struct answer tell_three(
    struct worker *worker, struct caller *caller, const uint32_t ids[4], const __u64 *addresses) {
    for (int i = 0; i < 3; i++) {
        int error = caller_write(worker, caller, addresses[i], &ids[i], sizeof ids[i]);
        if (error) return answered(error);
    }
    return answered(0);
}

struct answer answer_identity(struct worker *worker, struct caller *caller, const struct seccomp_data *call) {
    const struct identity *own = identity_of(worker->shared, caller->thread);
    const __u64 *argument = call->args;
    switch (call->nr) {
    case SYS_getuid: return (struct answer){ANSWER_VALUE, own->users[0]};
    case SYS_geteuid: return (struct answer){ANSWER_VALUE, own->users[1]};
    case SYS_getgid: return (struct answer){ANSWER_VALUE, own->groups[0]};
    case SYS_getegid: return (struct answer){ANSWER_VALUE, own->groups[1]};
    case SYS_getresuid: return tell_three(worker, caller, own->users, argument);
    case SYS_getresgid: return tell_three(worker, caller, own->groups, argument);
    case SYS_getgroups: {
        int room = (int)argument[0];
        size_t bytes = own->extra_count * sizeof own->extra[0];
        if (room != 0) {
            if (room < 0 || (uint32_t)room < own->extra_count) return answered(EINVAL);
            int error = bytes > 0 ? caller_write(worker, caller, argument[1], own->extra, bytes) : 0;
            if (error) return answered(error);
        }
        return (struct answer){ANSWER_VALUE, own->extra_count};
    }
    case SYS_setgroups: return set_groups(worker, caller, own, (uint32_t)argument[0], argument[1]);
    case SYS_prctl:
        if ((int)argument[0] != PR_SET_KEEPCAPS) return (struct answer){ANSWER_KERNEL, 0};
        break;
    }
    return change_identity(worker, caller, own, call);
}

// The limit is none to the caller, whatever it does: pam_limits(8) sets all that there are.
struct answer answer_limit(struct worker *worker, struct caller *caller, const struct seccomp_data *call) {
    bool is_newer = call->nr == SYS_prlimit64;
    if ((int)call->args[is_newer ? 1 : 0] != RLIMIT_LOCKS) return (struct answer){ANSWER_KERNEL, 0};
    uint64_t address = is_newer ? call->args[3] : call->nr == SYS_getrlimit ? call->args[1] : 0;
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    return answered(address ? caller_write(worker, caller, address, &limit, sizeof limit) : 0);
}

// MARK: permissions

bool identity_is_member(const struct identity *identity, gid_t group) {
    if (identity->groups[3] == group) return true;
    for (uint32_t i = 0; i < identity->extra_count; i++)
        if (identity->extra[i] == group) return true;
    return false;
}

bool identity_may(const struct identity *identity, const struct stat *status, int wanted) {
    if (identity->holds_rights)
        return !(wanted & X_OK) || S_ISDIR(status->st_mode) || (status->st_mode & (S_IXUSR | S_IXGRP | S_IXOTH));
    int shift = identity->users[3] == status->st_uid ? 6 : identity_is_member(identity, status->st_gid) ? 3 : 0;
    return ((int)(status->st_mode >> shift) & wanted) == wanted;
}
