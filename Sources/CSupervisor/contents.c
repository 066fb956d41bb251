// Files of /proc that the builder has otherwise: a list of mounts that holds for a command that sees one file system.

#include "supervisor.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int contents_open(const struct supervisor *shared, enum target_kind kind) {
    char text[512];
    struct stat root;
    if (fstat(shared->plan->root, &root) < 0) return -1;
    // The words of a container: programs know them. df looks at what is named here, and leaves out a type "rootfs".
    int length = kind == TARGET_MOUNTS
        ? snprintf(text, sizeof text,
              "overlay / overlay rw,relatime 0 0\n"
              "proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0\n")
        : snprintf(text, sizeof text,
              "2 1 %u:%u / / rw,relatime - overlay overlay rw\n"
              "3 2 0:%u / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw\n",
              major(root.st_dev), minor(root.st_dev), minor(root.st_dev) + 1);
    int file = memfd_create("mounts", MFD_CLOEXEC);
    if (file < 0) return -1;
    int reader = -1;
    if (write(file, text, (size_t)length) == length) {
        // Once more, for reading only, at the start.
        char name[64];
        snprintf(name, sizeof name, "/proc/thread-self/fd/%d", file);
        reader = open(name, O_RDONLY | O_CLOEXEC);
    }
    int error = errno;
    close(file);
    errno = error;
    return reader;
}
