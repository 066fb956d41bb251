// From clone to exec. Everything below `child` runs in a copy of one thread of a threaded process: raw system calls and
// stack memory only. glibc's setresuid & co. are not used, as they would wait for threads that do not exist here.

#include "CSpawn.h"
#include "spawn_internal.h"

#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

// clone3 where it is allowed; clone where a container runtime's seccomp profile answers ENOSYS (it cannot look into clone3's
// struct), which then also refuses namespaces.
static pid_t clone_process(uint64_t flags, int *pidfd) {
    struct clone_args arguments = {
        .flags = flags | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)pidfd, .exit_signal = SIGCHLD};
    pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (pid >= 0 || errno != ENOSYS) return pid;
    // The third argument is the place for the pidfd on x86-64 and arm64 alike.
    return (pid_t)syscall(SYS_clone, (unsigned long)flags | CLONE_PIDFD | SIGCHLD, 0, pidfd, 0, 0);
}

static void write_all(int file, const void *bytes, size_t count) {
    const char *rest = bytes;
    while (count > 0) {
        ssize_t written = write(file, rest, count);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return; // nobody listens: the builder is gone
        rest += written;
        count -= (size_t)written;
    }
}

void spawn_report(int status, int kind, int step, int value, const char *text) {
    char buffer[sizeof(struct spawn_record) + PATH_MAX];
    size_t length = text ? strnlen(text, PATH_MAX) : 0;
    struct spawn_record record = {.kind = kind, .step = step, .value = value, .length = (uint32_t)length};
    memcpy(buffer, &record, sizeof record);
    if (length > 0) memcpy(buffer + sizeof record, text, length);
    write_all(status, buffer, sizeof record + length);
}

static void close_between(unsigned int first, unsigned int last) {
    if (first > last || syscall(SYS_close_range, first, last, 0) == 0) return;
    struct rlimit limit;
    unsigned int end = 1 << 20; // the kernel's default for fs.nr_open
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < end) end = (unsigned int)limit.rlim_cur;
    for (unsigned int file = first; file <= last && file < end; file++) close((int)file);
}

// Closes every descriptor from 3 on but `status` and the plan's own.
static void close_others(const struct spawn_plan *plan, int status) {
    unsigned int from = 3;
    for (;;) {
        int next = status >= (int)from ? status : -1;
        for (size_t i = 0; i < plan->kept_count; i++) {
            int kept = plan->kept[i];
            if (kept >= (int)from && (next < 0 || kept < next)) next = kept;
        }
        if (next < 0) break;
        close_between(from, (unsigned int)next - 1);
        from = (unsigned int)next + 1;
    }
    close_between(from, ~0u);
}

static const char *place_stdio(const struct spawn_plan *plan) {
    int copies[3];
    for (int i = 0; i < 3; i++) {
        copies[i] = fcntl(plan->stdio[i], F_DUPFD_CLOEXEC, 10);
        if (copies[i] < 0) return "fcntl";
    }
    for (int i = 0; i < 3; i++) {
        if (dup2(copies[i], i) < 0) return "dup2";
        close(copies[i]);
    }
    return NULL;
}

// What was ignored stays ignored across exec: a builder under nohup must not hand that on. The raw call, as glibc's refuses the two
// signals that it keeps for itself. All zero: SIG_DFL, no flags, no mask.
static void reset_signals(void) {
    unsigned long standard[4] = {0, 0, 0, 0}; // struct kernel_sigaction: handler, flags, restorer, mask
    for (int number = 1; number < NSIG; number++) syscall(SYS_rt_sigaction, number, standard, NULL, (size_t)8);
}

// MARK: exec

// execve along PATH. Returns only on failure: the name of what failed, errno set.
static const char *execute(char *const *argv, char *const *envp) {
    const char *name = argv[0];
    if (strchr(name, '/')) {
        execve(name, argv, envp);
        if (errno == ENOENT && access(name, F_OK) == 0) {
            errno = ENOENT;
            return "interpreter";
        }
        return "execve";
    }
    // The search path that Docker gives a container without one.
    const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for (char *const *entry = envp; *entry; entry++)
        if (strncmp(*entry, "PATH=", 5) == 0) path = *entry + 5;
    int refused = 0;
    size_t name_length = strlen(name);
    while (name_length > 0) {
        const char *end = strchrnul(path, ':');
        size_t length = (size_t)(end - path);
        char candidate[PATH_MAX];
        // An empty element would mean the working directory: never looked at.
        if (length > 0 && length + 1 + name_length < sizeof candidate) {
            memcpy(candidate, path, length);
            candidate[length] = '/';
            memcpy(candidate + length + 1, name, name_length + 1);
            execve(candidate, argv, envp);
            if (errno == ENOENT && access(candidate, F_OK) == 0) {
                errno = ENOENT;
                return "interpreter";
            }
            if (errno == EACCES) refused = 1;
            else if (errno != ENOENT && errno != ENOTDIR) return "execve";
        }
        if (*end == 0) break;
        path = end + 1;
    }
    errno = refused ? EACCES : ENOENT;
    return "PATH";
}

static void fail(int status, int step, const char *call) {
    spawn_report(status, SPAWN_FAILED, step, errno, call);
    _exit(127);
}

static void run_steps(const struct spawn_plan *plan, struct spawn_state *state, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        state->step = (int)i;
        const char *call = spawn_step(&plan->steps[i], state);
        if (call) fail(state->status, (int)i, call);
    }
}

static void become_command(const struct spawn_plan *plan, struct spawn_state *state, size_t from) {
    run_steps(plan, state, from, plan->step_count);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    const char *call = execute(plan->argv, plan->envp);
    fail(state->status, (int)plan->step_count, call);
}

// MARK: supervision

// Empties the copy of the builder's command line, which /proc/1/cmdline would show to the command. The memory itself is closed to it by
// PR_SET_DUMPABLE.
static void hide_command_line(void) {
    char text[2048];
    int file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    ssize_t count = read(file, text, sizeof text - 1);
    close(file);
    if (count <= 0) return;
    text[count] = 0;
    char *at = strrchr(text, ')'); // the end of field 2; arg_start and arg_end are fields 48 and 49 (proc(5))
    unsigned long range[2] = {0, 0};
    for (int field = 2; at && field < 49; field++) {
        at = strchr(at, ' ');
        if (!at) return;
        at++;
        if (field + 1 < 48) continue;
        for (char *digit = at; *digit >= '0' && *digit <= '9'; digit++)
            range[field + 1 - 48] = range[field + 1 - 48] * 10 + (unsigned long)(*digit - '0');
    }
    if (range[0] != 0 && range[1] > range[0]) memset((void *)range[0], 0, range[1] - range[0]);
}

static const char children_file[] = "/proc/thread-self/children";

// Kills the children of this process, which as a subreaper inherits every orphan below it.
static void kill_children(void) {
    int file = open(children_file, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    char text[4096];
    pid_t pid = 0;
    ssize_t count;
    while ((count = read(file, text, sizeof text)) > 0) {
        for (ssize_t i = 0; i < count; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
            } else if (pid > 0) {
                kill(pid, SIGKILL);
                pid = 0;
            }
        }
    }
    close(file);
}

// Kills and reaps until nothing is left: a child that died may have left children of its own to us. Without a namespace of our own a process
// that we may not kill (setuid, and we are not root) would keep us here: given up after 10 seconds.
static void kill_descendants(int owns_namespace) {
    for (int round = 0; owns_namespace || round < 10 * 1000; round++) {
        if (owns_namespace) kill(-1, SIGKILL);
        else kill_children();
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {}
        if (pid < 0 && errno == ECHILD) return;
        poll(NULL, 0, 1); // milliseconds
    }
}

// Waits for the command, hands signals on, reaps orphans. Returns the command's wait status.
static int watch(pid_t command, int status) {
    sigset_t set;
    sigfillset(&set);
    int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    // A pipe whose reader is gone says POLLERR: the builder died, and its command with it. (PR_SET_PDEATHSIG would tell of
    // the thread that spawned, not of the process.)
    struct pollfd events[2] = {{.fd = signals, .events = POLLIN}, {.fd = status, .events = 0}};
    int result = -1, ended = 0;
    while (!ended) {
        // Without a signalfd (no descriptor left): look every 10 milliseconds.
        poll(events, 2, signals < 0 ? 10 : -1);
        if (events[1].revents) {
            kill(command, SIGKILL);
            events[1].fd = -1;
        }
        struct signalfd_siginfo info;
        while (signals >= 0 && read(signals, &info, sizeof info) == sizeof info) {
            switch (info.ssi_signo) {
            case SIGUSR1: kill(command, SIGKILL); break;
            case SIGTERM:
            case SIGINT:
            case SIGHUP:
            case SIGQUIT: kill(command, (int)info.ssi_signo); break;
            default: break;
            }
        }
        pid_t pid;
        int value;
        while ((pid = waitpid(-1, &value, WNOHANG)) > 0) {
            if (pid != command) continue;
            result = value;
            ended = 1;
        }
        if (pid < 0 && errno == ECHILD) ended = 1;
    }
    return result;
}

static void supervise(const struct spawn_plan *plan, struct spawn_state *state) {
    int status = state->status;
    int owns_namespace = (plan->clone_flags & CLONE_NEWPID) != 0;
    if (!owns_namespace) {
        if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) fail(status, (int)plan->step_count, "PR_SET_CHILD_SUBREAPER");
        // A kernel without CONFIG_PROC_CHILDREN, or no /proc: what is left behind could not be found. Said now, not then.
        if (access(children_file, R_OK) < 0) fail(status, (int)plan->step_count, children_file);
    }
    int inner[2];
    if (pipe2(inner, O_CLOEXEC) < 0) fail(status, (int)plan->step_count, "pipe2");
    pid_t self = getpid();
    pid_t command = (pid_t)syscall(SYS_clone, (unsigned long)SIGCHLD, 0, 0, 0, 0);
    if (command < 0) fail(status, (int)plan->step_count, "clone");
    if (command == 0) {
        close(inner[0]);
        close(status);
        state->status = inner[1];
        // If this process is killed alone, the command goes with it. A change of user clears this; in a pid namespace it is not needed.
        if (!owns_namespace) prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (!owns_namespace && getppid() != self) _exit(127);
        become_command(plan, state, plan->command_step);
    }
    // From here on only the status pipe stays open: a copy of stdout here would keep its reader waiting.
    int report = inner[0];
    close(inner[1]);
    char buffer[sizeof(struct spawn_record) + PATH_MAX];
    size_t filled = 0;
    ssize_t count;
    while (filled < sizeof buffer) {
        count = read(report, buffer + filled, sizeof buffer - filled);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        filled += (size_t)count;
    }
    for (int i = 0; i < 3; i++) close(i);
    struct spawn_plan bare = {.kept_count = 0};
    close_others(&bare, status);
    int value;
    if (filled > 0) {
        write_all(status, buffer, filled);
        kill_descendants(owns_namespace);
        _exit(127);
    }
    spawn_report(status, SPAWN_STARTED, 0, 0, NULL);
    value = watch(command, status);
    kill_descendants(owns_namespace);
    spawn_report(status, SPAWN_ENDED, 0, value, NULL);
    _exit(0);
}

static void child(const struct spawn_plan *plan, int status) {
    struct spawn_state state = {.status = -1, .root = -1};
    reset_signals();
    state.status = fcntl(status, F_DUPFD_CLOEXEC, 10);
    if (state.status < 0) fail(status, 0, "fcntl");
    const char *call = place_stdio(plan);
    if (call) fail(state.status, 0, call);
    close_others(plan, state.status);
    // No controlling terminal: nothing prompts, and ^C reaches the builder alone, which then ends its children in order.
    setsid();
    if (!plan->supervised) become_command(plan, &state, 0);
    // This process is a copy of the builder that stays while the command runs: closed to ptrace and /proc/PID/mem (exec opens it again).
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    hide_command_line();
    prctl(PR_SET_NAME, "imgbuild-init", 0, 0, 0);
    run_steps(plan, &state, 0, plan->command_step);
    supervise(plan, &state);
}

int imgbuild_spawn(const struct spawn_plan *plan, struct spawned *spawned, const char **call) {
    int status[2];
    if (pipe2(status, O_CLOEXEC) < 0) {
        *call = "pipe2";
        return -1;
    }
    // A handler of the builder must not run in the child before its handlers are reset.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int pidfd = -1;
    pid_t pid = clone_process(plan->clone_flags, &pidfd);
    if (pid == 0) {
        child(plan, status[1]);
        _exit(127);
    }
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(status[1]);
    if (pid < 0) {
        close(status[0]);
        *call = "clone";
        errno = error;
        return -1;
    }
    spawned->pid = pid;
    spawned->pidfd = pidfd;
    spawned->status = status[0];
    return 0;
}
