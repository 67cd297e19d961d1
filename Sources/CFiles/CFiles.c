#define _GNU_SOURCE
#include "CFiles.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_by_component(int root, const char *path, int flags) {
    char name[NAME_MAX + 1];
    int directory = root;
    for (;;) {
        size_t length = strcspn(path, "/");
        int opened = -1;
        if (length == 0 || length > NAME_MAX) {
            errno = length == 0 ? EINVAL : ENAMETOOLONG;
        } else {
            memcpy(name, path, length);
            name[length] = 0;
            bool last = path[length] == 0;
            opened = openat(
                directory, name,
                O_CLOEXEC | O_NOFOLLOW | (last ? flags : O_PATH | O_DIRECTORY));
            // With O_DIRECTORY a link is reported as ENOTDIR, which would mean "gone".
            struct stat status;
            if (opened < 0 && errno == ENOTDIR
                && fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
                errno = S_ISLNK(status.st_mode) ? ELOOP : ENOTDIR;
        }
        if (directory != root) {
            int number = errno;
            close(directory);
            errno = number;
        }
        if (opened < 0 || path[length] == 0) return opened;
        directory = opened;
        path += length + 1;
    }
}

int cfiles_open_directory(const char *path) {
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int cfiles_open_beneath(int root, const char *path, bool directory, bool by_component) {
    int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | (directory ? O_DIRECTORY : 0);
#ifdef SYS_openat2
    if (!by_component) {
        struct open_how how = {
            .flags = (unsigned long long)(flags | O_CLOEXEC | O_NOFOLLOW),
            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
        };
        long opened = syscall(SYS_openat2, root, path, &how, sizeof how);
        if (opened >= 0) return (int)opened;
        switch (errno) {
        case ENOSYS: case EPERM: case EINVAL: case EAGAIN: break;
        default: return -1;
        }
    }
#endif
    return open_by_component(root, path, flags);
}
