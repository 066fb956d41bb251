// The calls that are stopped where owners are kept. It is one table for the filter and for the answers.

#include "owners.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define BY_PATH NO_ARGUMENT, 0
#define AT_FOLDER 0, 1
#define OPEN_FILE 0, NO_ARGUMENT
#define NO_FILE NO_ARGUMENT, NO_ARGUMENT
#define FOLLOWED NO_ARGUMENT
#define ALWAYS NO_ARGUMENT, 0

const struct owner_call owner_calls[] = {
#ifdef SYS_open
    {SYS_stat, CALL_STATUS, BY_PATH, FOLLOWED, ALWAYS},
    {SYS_lstat, CALL_STATUS, BY_PATH, NEVER_FOLLOWS, ALWAYS},
    {SYS_open, CALL_CREATION, BY_PATH, FOLLOWED, ALWAYS},
    {SYS_access, CALL_ACCESS, BY_PATH, FOLLOWED, ALWAYS},
    {SYS_chown, CALL_OWNER, BY_PATH, FOLLOWED, ALWAYS},
    {SYS_lchown, CALL_OWNER, BY_PATH, NEVER_FOLLOWS, ALWAYS},
    {SYS_creat, CALL_CREATION, BY_PATH, FOLLOWED, ALWAYS},
    {SYS_mkdir, CALL_CREATION, BY_PATH, FOLLOWED, ALWAYS},
    {SYS_symlink, CALL_CREATION, BY_PATH, FOLLOWED, ALWAYS},
    {SYS_mknod, CALL_CREATION, BY_PATH, FOLLOWED, ALWAYS},
    {SYS_chmod, CALL_MODE, BY_PATH, FOLLOWED, ALWAYS},
    {SYS_unlink, CALL_NAME, BY_PATH, NEVER_FOLLOWS, ALWAYS},
    {SYS_rmdir, CALL_NAME, BY_PATH, NEVER_FOLLOWS, ALWAYS},
    {SYS_link, CALL_NAME, NO_ARGUMENT, 1, NEVER_FOLLOWS, ALWAYS},
    {SYS_rename, CALL_RENAME, BY_PATH, NEVER_FOLLOWS, ALWAYS},
#endif
    {SYS_newfstatat, CALL_STATUS, AT_FOLDER, 3, ALWAYS},
    {SYS_fstat, CALL_STATUS, OPEN_FILE, FOLLOWED, ALWAYS},
    {SYS_statx, CALL_STATUS, AT_FOLDER, 2, ALWAYS},
    {SYS_openat, CALL_CREATION, AT_FOLDER, FOLLOWED, ALWAYS},
    {SYS_openat2, CALL_CREATION, AT_FOLDER, FOLLOWED, ALWAYS},
    {SYS_faccessat, CALL_ACCESS, AT_FOLDER, FOLLOWED, ALWAYS},
    {SYS_faccessat2, CALL_ACCESS, AT_FOLDER, 3, ALWAYS},
    {SYS_fchownat, CALL_OWNER, AT_FOLDER, 4, ALWAYS},
    {SYS_fchown, CALL_OWNER, OPEN_FILE, FOLLOWED, ALWAYS},
    {SYS_mkdirat, CALL_CREATION, AT_FOLDER, FOLLOWED, ALWAYS},
    {SYS_symlinkat, CALL_CREATION, AT_FOLDER, FOLLOWED, ALWAYS},
    {SYS_mknodat, CALL_CREATION, AT_FOLDER, FOLLOWED, ALWAYS},
    {SYS_fchmod, CALL_MODE, OPEN_FILE, FOLLOWED, ALWAYS},
    {SYS_fchmodat, CALL_MODE, AT_FOLDER, FOLLOWED, ALWAYS},
    {SYS_unlinkat, CALL_NAME, AT_FOLDER, NEVER_FOLLOWS, ALWAYS},
    {SYS_linkat, CALL_NAME, 2, 3, NEVER_FOLLOWS, ALWAYS},
    {SYS_renameat, CALL_RENAME, AT_FOLDER, NEVER_FOLLOWS, ALWAYS},
    {SYS_renameat2, CALL_RENAME, AT_FOLDER, NEVER_FOLLOWS, ALWAYS},
    {SYS_listxattr, CALL_ATTRIBUTES, BY_PATH, FOLLOWED, ALWAYS},
    {SYS_llistxattr, CALL_ATTRIBUTES, BY_PATH, NEVER_FOLLOWS, ALWAYS},
    {SYS_flistxattr, CALL_ATTRIBUTES, OPEN_FILE, FOLLOWED, ALWAYS},
    {SYS_execve, CALL_EXECUTE, BY_PATH, FOLLOWED, ALWAYS},
    {SYS_execveat, CALL_EXECUTE, AT_FOLDER, 4, ALWAYS},
    {SYS_getuid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_geteuid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_getgid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_getegid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_getresuid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_getresgid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_getgroups, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_setuid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_setgid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_setreuid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_setregid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_setresuid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_setresgid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_setfsuid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_setfsgid, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_setgroups, CALL_IDENTITY, NO_FILE, FOLLOWED, ALWAYS},
    {SYS_prctl, CALL_IDENTITY, NO_FILE, FOLLOWED, 0, PR_SET_KEEPCAPS},
    {SYS_getrlimit, CALL_LIMIT, NO_FILE, FOLLOWED, 0, RLIMIT_LOCKS},
    {SYS_setrlimit, CALL_LIMIT, NO_FILE, FOLLOWED, 0, RLIMIT_LOCKS},
    {SYS_prlimit64, CALL_LIMIT, NO_FILE, FOLLOWED, 1, RLIMIT_LOCKS},
};

const size_t owner_call_count = sizeof owner_calls / sizeof owner_calls[0];

const struct owner_call *find_owner_call(int number) {
    for (size_t i = 0; i < owner_call_count; i++)
        if (owner_calls[i].number == number) return &owner_calls[i];
    return NULL;
}
