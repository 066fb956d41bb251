#pragma once
// Between the files that keep owners: owner_calls.c, identities.c, records.c, places.c, creations.c and owners.c.

#include "supervisor.h"

#include <stdbool.h>

// MARK: identities.c

// Whom a process believes to be: what the kernel would say if it could map the ids.
struct identity {
    uid_t users[4];   // real, effective, saved, of the file system
    gid_t groups[4];
    bool holds_rights; // it may do what root may
    bool keeps_rights; // PR_SET_KEEPCAPS
    uint32_t extra_count;
    gid_t extra[]; // supplementary groups
};

// The identity of the process that waits for an answer; never NULL, and valid until the supervisor ends.
const struct identity *identity_of(const struct supervisor *shared, pid_t thread);
struct answer answer_identity(struct worker *worker, struct caller *caller, const struct seccomp_data *call);
struct answer answer_limit(struct worker *worker, struct caller *caller, const struct seccomp_data *call);
// A process is about to start a program with this status (capabilities(7)).
void identity_execute(struct supervisor *shared, pid_t thread, const struct stat *program);
bool identity_is_member(const struct identity *identity, gid_t group);
// Whether a process may do with a file what `wanted` says, in bits of access(2).
bool identity_may(const struct identity *identity, const struct stat *status, int wanted);
void identities_free(struct supervisor *shared);

// MARK: places.c

// A file as a caller names it, after `place_enter`: the thread stands where the caller stands, below the caller's root.
struct place {
    bool follows; // a symlink at the end
    bool is_open; // named by a descriptor of the caller's alone; `path` is below the builder's /proc, and always followed
    char path[PATH_MAX];
};

enum { EMPTY_PATH_MEANS_FOLDER = 1, FOLLOWS = 2 };

// Goes where the caller stands with its path argument. 0, or -1 where that cannot be known: then the kernel does the call.
int place_enter(
    struct worker *worker, struct caller *caller, int folder, uint64_t address, int flags, struct place *place);
// As `place_enter` for an open descriptor.
int place_enter_open(struct worker *worker, struct caller *caller, int file, struct place *place);
// The folder that a name is in.
void place_parent(const struct place *place, struct place *parent);
// Whether a process may go through all folders on the way.
bool place_is_reached(const struct place *place, const struct identity *identity);
// Whether a process may do with the file there, whose status this is, what `wanted` says. Devices, pipes and files of the kernel's own are left to
// the kernel.
bool place_allows(const struct place *place, const struct stat *status, const struct identity *identity, int wanted);
// Asks the kernel. 0, or -1 and errno.
int place_status(const struct place *place, struct stat *status);

// MARK: records.c

// What the file system could not hold of a file.
struct record {
    uid_t user;
    gid_t group;
    mode_t type; // S_IFCHR or S_IFBLK: an empty file stands for this device; otherwise 0
    uint32_t device;
};

// 1 when there is one, else 0.
int record_read(const struct place *place, struct record *record);
// Keeps it, or removes what is kept where nothing needs to be. 0, or an errno: ENOTSUP where the file system keeps nothing.
int record_write(const struct place *place, const struct stat *status, const struct record *record);
int record_write_open(int file, const struct record *record);
// Takes the name of the record out of a list of attributes: the new length.
size_t record_hide(char *names, size_t length, mode_t mode);
// What the caller is told instead of what the kernel says.
void record_apply(const struct record *record, struct stat *status);
// As `place_status`, with what is kept.
int record_status(const struct place *place, struct stat *status);

// MARK: creations.c

struct answer answer_creation(struct worker *worker, struct caller *caller, const struct seccomp_data *call);

// MARK: owner_calls.c

enum owner_call_kind {
    CALL_OWNER,      // gives a file away
    CALL_STATUS,     // asks whose it is
    CALL_ATTRIBUTES, // lists its extended attributes
    CALL_CREATION,   // opens or makes one
    CALL_EXECUTE,    // starts a program
    CALL_IDENTITY,   // asks or changes who the process is
    CALL_LIMIT,      // asks or sets the resource limit that identities are kept in
    CALL_ACCESS,     // asks what the process may do
    CALL_MODE,       // sets permissions
    CALL_NAME,       // makes a name, or takes it away
    CALL_RENAME,     // both; the other name has the arguments behind, or the only other argument
};

enum { NO_ARGUMENT = -1, NEVER_FOLLOWS = -2 };

// A call that is stopped, and where it names its file. Numbers of arguments.
struct owner_call {
    int number;
    enum owner_call_kind kind;
    int8_t folder; // an open folder that a path begins at, or the file itself; NO_ARGUMENT: the working directory
    int8_t path;   // NO_ARGUMENT: the file is open
    int8_t flags;  // AT_* flags; NO_ARGUMENT: a symlink is followed, NEVER_FOLLOWS: it is not
    int8_t tested; // only calls with one of `bits` in this argument are stopped; NO_ARGUMENT: all are
    uint32_t bits;
};

extern const struct owner_call owner_calls[];
extern const size_t owner_call_count;
const struct owner_call *find_owner_call(int number);

// MARK: owners.c

struct answer answer_owners(struct worker *worker, struct caller *caller, const struct seccomp_data *call);
