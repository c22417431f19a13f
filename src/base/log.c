#include "base/log.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 4096 // PIPE_BUF: a write of this size to a pipe is not torn

static atomic_int least_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&least_level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&least_level, memory_order_relaxed);
}

static const char *level_name(enum log_level level)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};

    return names[level];
}

/* Values may hold text from outside; a line break in one must not look like another line. */
static void blank_control_bytes(char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F) {
            text[i] = ' ';
        }
    }
}

static size_t stamp(char *line, size_t room)
{
    struct timespec ts;
    struct tm tm;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &ts);
    gmtime_r(&ts.tv_sec, &tm);
    n = strftime(line, room, "%Y-%m-%dT%H:%M:%S", &tm);
    return n + (size_t)snprintf(line + n, room - n, ".%03dZ", (int)(ts.tv_nsec / 1000000));
}

void log_event(enum log_level level, const char *event, const char *fmt, ...)
{
    char line[LINE_BYTES_MAX];
    size_t room = sizeof(line) - 1; // one for the line feed
    size_t at;
    int n;
    va_list args;

    if (!log_enabled(level)) {
        return;
    }
    at = stamp(line, room);
    n = snprintf(line + at, room - at, " %s %s%s", level_name(level), event, fmt[0] ? " " : "");
    at += (size_t)n < room - at ? (size_t)n : room - at - 1;
    va_start(args, fmt);
    n = vsnprintf(line + at, room - at, fmt, args);
    va_end(args);
    if (n > 0) {
        size_t got = (size_t)n < room - at ? (size_t)n : room - at - 1;

        blank_control_bytes(line + at, got);
        got -= utf8_incomplete_tail((struct str){line + at, got});
        at += got;
    }
    line[at] = '\n';
    if (write(STDERR_FILENO, line, at + 1) < 0) {
        return; // nobody is left to tell
    }
}
