// The loop: a notification, an answer.

#include "owners.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

// Waits until `file` is ready. 1; 0 when it will never be, or the work is to end; -1 and errno.
static int wait_for(int file, int stop) {
    struct pollfd events[2] = {{.fd = file, .events = POLLIN}, {.fd = stop, .events = POLLIN}};
    for (;;) {
        if (poll(events, 2, -1) < 0) {
            if (errno == EINTR) continue;
            return -1;
        }
        if (events[1].revents) return 0;
        if (events[0].revents & POLLIN) return 1;
        // POLLHUP: nobody has the filter any more.
        if (events[0].revents) return 0;
    }
}

// The listener, or -1 where the command's process ended without one.
static int receive_listener(const struct supervisor_plan *plan) {
    if (wait_for(plan->socket, plan->stop) != 1) return -1;
    char byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    ssize_t count;
    while ((count = recvmsg(plan->socket, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR) {}
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (count <= 0 || !header || header->cmsg_type != SCM_RIGHTS) return -1;
    int listener;
    memcpy(&listener, CMSG_DATA(header), sizeof listener);
    return listener;
}

// The raw call: of this thread alone.
static int cut_capabilities(uint64_t kept) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0) return -1;
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(kept >> (32 * i));
        data[i].effective &= data[i].permitted;
        data[i].inheritable = 0;
    }
    return (int)syscall(SYS_capset, &header, data);
}

static struct answer answer_path(struct worker *worker, struct caller *caller, const struct seccomp_data *call) {
    struct supervisor *shared = worker->shared;
    int executes = call->nr == SYS_execve || call->nr == SYS_execveat;
    // The first call of all is the exec of the command itself.
    if (shared->init == 0 && caller_identify(worker, caller) == 0) shared->init = caller->parent;
    if (!executes) caller_keep_memory(worker, caller, 0);
    struct answer result = answer_call(worker, caller, call);
    if (executes) caller_keep_memory(worker, caller, 1);
    return result;
}

static void answer(struct worker *worker, const struct seccomp_notif *request, struct seccomp_notif_resp *response) {
    struct supervisor *shared = worker->shared;
    struct caller caller = {.id = request->id, .thread = (pid_t)request->pid};
    struct answer result;
    shared->calls++;
    if (shared->plan->keeps_owners) result = answer_owners(worker, &caller, &request->data);
    else result = answer_path(worker, &caller, &request->data);
    if (result.kind != ANSWER_KERNEL) shared->answered++;
    if (result.kind == ANSWER_SENT) return;
    response->id = request->id;
    response->flags = result.kind == ANSWER_KERNEL ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
    response->val = result.kind == ANSWER_VALUE ? result.value : 0;
    response->error = result.kind == ANSWER_ERROR ? -(int)result.value : 0;
    // It fails with ENOENT when the caller has been killed: nobody waits for an answer then.
    ioctl(shared->listener, SECCOMP_IOCTL_NOTIF_SEND, response);
}

// NULL at the end, or the name of the call that failed, errno set.
static const char *work(struct supervisor *shared) {
    struct seccomp_notif_sizes sizes;
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0) return "SECCOMP_GET_NOTIF_SIZES";
    if (cut_capabilities(shared->plan->capabilities) < 0) return "capset";
    // A kernel younger than its headers writes more than they say.
    size_t request_size = sizes.seccomp_notif > sizeof(struct seccomp_notif) ? sizes.seccomp_notif : sizeof(struct seccomp_notif);
    size_t response_size =
        sizes.seccomp_notif_resp > sizeof(struct seccomp_notif_resp) ? sizes.seccomp_notif_resp : sizeof(struct seccomp_notif_resp);
    struct worker worker = {.shared = shared, .real_user = getuid(), .real_group = getgid()};
    worker.memory = calloc(MEMORY_FILES, sizeof *worker.memory);
    struct seccomp_notif *request = calloc(1, request_size);
    struct seccomp_notif_resp *response = calloc(1, response_size);
    const char *call = worker.memory && request && response ? NULL : "calloc";
    while (!call) {
        pthread_mutex_lock(&shared->receiving);
        int ready = wait_for(shared->listener, shared->plan->stop), received = -1;
        if (ready == 1) {
            memset(request, 0, request_size);
            received = ioctl(shared->listener, SECCOMP_IOCTL_NOTIF_RECV, request);
        }
        int error = errno;
        pthread_mutex_unlock(&shared->receiving);
        errno = error;
        if (ready == 0) break;
        if (ready < 0) {
            call = "poll";
        } else if (received == 0) {
            memset(response, 0, response_size);
            answer(&worker, request, response);
        } else if (error != EINTR && error != ENOENT) { // ENOENT: the caller was killed
            call = "SECCOMP_IOCTL_NOTIF_RECV";
        }
    }
    int error = errno;
    for (int i = 0; worker.memory && i < MEMORY_FILES; i++)
        if (worker.memory[i].thread != 0 && worker.memory[i].file >= 0) close(worker.memory[i].file);
    free(worker.memory);
    free(request);
    free(response);
    errno = error;
    return call;
}

// The other thread only helps: what fails there fails here, too, and one of them is enough.
static void *help(void *shared) {
    work(shared);
    return NULL;
}

int imgbuild_supervise(const struct supervisor_plan *plan, struct supervisor_report *report, const char **call) {
    struct supervisor shared = {
        .plan = plan, .receiving = PTHREAD_MUTEX_INITIALIZER, .aliases = PTHREAD_MUTEX_INITIALIZER,
        .has_set_id = ATOMIC_FLAG_INIT};
    memset(report, 0, sizeof *report);
    *call = NULL;
    shared.listener = receive_listener(plan);
    if (shared.listener < 0) return 0;
    shared.proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (shared.proc < 0) {
        *call = "open";
    } else {
        // The caller's processor runs this thread at once, and the caller again after the answer: 6 to 8 times faster. A kernel that
        // cannot do that gets a second thread; not for owners, as threads have one root.
        uint64_t flags = SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP;
        int is_slow = ioctl(shared.listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags) < 0 && !plan->keeps_owners;
        pthread_t helper;
        int has_helper = is_slow && pthread_create(&helper, NULL, help, &shared) == 0;
        *call = work(&shared);
        int error = errno;
        if (has_helper) pthread_join(helper, NULL);
        errno = error;
    }
    int error = errno;
    report->calls = shared.calls;
    report->answered = shared.answered;
    report->unreadable = shared.unreadable;
    memcpy(report->set_id_program, shared.set_id_program, sizeof report->set_id_program);
    for (int i = 0; i < ALIASES; i++) free(shared.known[i].text);
    identities_free(&shared);
    close(shared.listener);
    if (shared.proc >= 0) close(shared.proc);
    errno = error;
    return *call ? -1 : 0;
}
