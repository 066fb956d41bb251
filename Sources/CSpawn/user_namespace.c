// A process that holds a new user namespace until its ids are mapped.

#include "CSpawn.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

pid_t imgbuild_hold_user_namespace(void) {
    pid_t parent = getpid();
    pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid != 0) return pid;
    // Between the two calls the parent may have died.
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent && getppid() != 0) _exit(1);
    for (;;) pause();
}

int imgbuild_join_user_namespace(int file) { return setns(file, CLONE_NEWUSER); }
