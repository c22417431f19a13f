#include "devices/driver_files.h"
#include "devices/reading.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MAX 16384
#define PATH_BYTES_MAX 1024

static struct str read_file(const char *root, const char *path, char room[FILE_BYTES_MAX])
{
    char full[PATH_BYTES_MAX];
    size_t n = 0;
    int fd;

    snprintf(full, sizeof(full), "%s%s", root, path);
    fd = open(full, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    while (fd >= 0 && n < FILE_BYTES_MAX) {
        ssize_t got = read(fd, room + n, FILE_BYTES_MAX - n);

        if (got <= 0) {
            break;
        }
        n += (size_t)got;
    }
    if (fd >= 0) {
        close(fd);
    }
    return (struct str){room, n};
}

/* "Version=25.5.1" at the beginning of a line. */
static void take_key(struct str text, const char *key, char to[DEVICES_NAME_MAX])
{
    struct str k = str_from_c(key);

    for (size_t at = 0; at < text.len;) {
        size_t end = str_find_byte(text, '\n', at);
        struct str line = str_trim(str_slice(text, at, end));

        if (str_starts(line, k)) {
            reading_text(to, DEVICES_NAME_MAX, str_slice(line, k.len, line.len));
            return;
        }
        at = end == SIZE_MAX ? text.len : end + 1;
    }
}

static void read_nvidia(const char *root, struct devices_report *r)
{
    char room[FILE_BYTES_MAX];
    char *to = r->vendors[DEVICES_NVIDIA].driver;

    if (to[0] == '\0') {
        reading_text(to, DEVICES_NAME_MAX, read_file(root, "/sys/module/nvidia/version", room));
    }
}

static void read_ascend(const char *root, struct devices_report *r)
{
    char room[FILE_BYTES_MAX];
    char firmware[DEVICES_NAME_MAX] = "";
    char *driver = r->vendors[DEVICES_ASCEND].driver;

    if (driver[0] == '\0') {
        take_key(read_file(root, "/usr/local/Ascend/driver/version.info", room),
                 "Version=", driver);
    }
    take_key(read_file(root, "/usr/local/Ascend/firmware/version.info", room),
             "Version=", firmware);
    for (uint32_t i = 0; i < r->n_cards; i++) {
        if (r->cards[i].vendor == DEVICES_ASCEND && r->cards[i].firmware[0] == '\0') {
            memcpy(r->cards[i].firmware, firmware, sizeof(firmware));
        }
    }
}

void driver_files_read(const char *root, struct devices_report *report)
{
    read_nvidia(root, report);
    read_ascend(root, report);
}
