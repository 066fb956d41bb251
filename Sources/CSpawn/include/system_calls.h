#pragma once
// Linux calls that Glibc 2.36 has no prototype for, or that Swift's Glibc module leaves out.
// Each is a bare call: -1 and errno on failure.

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

static inline int imgbuild_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    return (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
}

// Fills the buffer with whole records of struct linux_dirent64; 0 at the end of the folder.
static inline ssize_t imgbuild_getdents64(int directory, void *buffer, size_t size) {
    return syscall(SYS_getdents64, directory, buffer, size);
}

static inline ssize_t imgbuild_lgetxattr(const char *path, const char *name, void *value, size_t size) {
    return lgetxattr(path, name, value, size);
}
static inline ssize_t imgbuild_llistxattr(const char *path, char *list, size_t size) { return llistxattr(path, list, size); }
static inline int imgbuild_lsetxattr(const char *path, const char *name, const void *value, size_t size) {
    return lsetxattr(path, name, value, size, 0);
}
static inline int imgbuild_lremovexattr(const char *path, const char *name) { return lremovexattr(path, name); }
static inline ssize_t imgbuild_fgetxattr(int file, const char *name, void *value, size_t size) {
    return fgetxattr(file, name, value, size);
}
static inline ssize_t imgbuild_flistxattr(int file, char *list, size_t size) { return flistxattr(file, list, size); }
static inline int imgbuild_fsetxattr(int file, const char *name, const void *value, size_t size) {
    return fsetxattr(file, name, value, size, 0);
}

static inline uint32_t imgbuild_major(uint64_t device) { return major(device); }
static inline uint32_t imgbuild_minor(uint64_t device) { return minor(device); }
static inline uint64_t imgbuild_makedev(uint32_t major_number, uint32_t minor_number) {
    return makedev(major_number, minor_number);
}
