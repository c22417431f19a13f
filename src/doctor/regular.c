#include "doctor/regular.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

FILE *regular_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    FILE *f = NULL;

    if (fd < 0) {
        return NULL;
    }
    errno = EINVAL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        f = fdopen(fd, "rb");
    }
    if (f == NULL) {
        int cause = errno;

        close(fd);
        errno = cause;
    }
    return f;
}
