#pragma once
// Answers system calls of a command in a chroot that name files of /proc, where no procfs can be mounted.
//
// A seccomp filter (seccomp_unotify(2)) stops those calls of the command that take a path; a thread of the builder looks at the path and
// either lets the kernel go on with the call, or does it on the builder's own /proc and gives the command the result: a
// descriptor, a link's text, an error. What the command cannot be told by path it finds in a folder of plain files at its
// /proc, the skeleton, which the caller makes and removes.
//
// This is a service, no boundary: the kernel reads a path again after it was looked at. What a command may know of processes that are
// not its own is decided by the kernel, from its rights.

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

//
// The same loop with another table of calls keeps owners, in a user namespace that has one id: `keeps_owners`. Then it serves all that the
// builder does, and is a process of its own.

// Instructions that the longest filter has.
enum { SUPERVISOR_FILTER_LIMIT = 256 };

// Writes the filter, for SECCOMP_SET_MODE_FILTER with SECCOMP_FILTER_FLAG_NEW_LISTENER. Returns the number of instructions.
size_t imgbuild_supervisor_filter(int keeps_owners, struct sock_filter program[SUPERVISOR_FILTER_LIMIT]);

struct supervisor_plan {
    int32_t socket;   // a Unix socket through which the listener comes, as SCM_RIGHTS
    int32_t stop;     // a pipe whose writer is closed when the work is to end
    // The calls are those of owners. What comes below has no meaning then, and the root of the process changes with every call.
    int32_t keeps_owners;
    int32_t root;     // the folder that is the command's root
    int32_t skeleton; // the folder that the command sees as /proc
    // The pod's own null, zero, full, random and urandom answer for the command's, whose file system has none that work.
    int32_t serves_devices;
    uint64_t capabilities; // what the thread keeps of its capabilities: those of the command, and at least one more
};

enum { SUPERVISOR_NAME_LIMIT = 256 };

// What was seen and done.
struct supervisor_report {
    uint64_t calls;      // stopped
    uint64_t answered;   // not by the kernel
    uint64_t unreadable; // left to the kernel, as the caller's memory could not be read
    // The first program that was executed to get other ids, and did not get them; empty if there was none.
    char set_id_program[SUPERVISOR_NAME_LIMIT];
};

// Works until every process with the filter has ended, or the writer of `stop` is closed. Blocks; starts a second thread where the kernel
// cannot hand a call over without a wait (before 6.6). Changes the identity of the threads that it works on, for good: call it on a
// thread that ends with it.
//
// 0, also when no listener came; or -1 with errno and the name of the call that failed in `call`. Then calls of the command that are stopped
// fail with ENOSYS.
int imgbuild_supervise(const struct supervisor_plan *plan, struct supervisor_report *report, const char **call);
