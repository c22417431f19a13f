#include "devices/tool_run.h"
#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENVIRONMENT_MAX 1024
#define REAP_WAIT_MS 1000 // for a killed tool to go away
#define PIECE_BYTES 8192

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* The tools print decimals in the user's locale. */
static void make_environment(char **ret, char *locale)
{
    size_t n = 0;

    ret[n++] = locale;
    for (char **e = environ; *e != NULL && n < ENVIRONMENT_MAX; e++) {
        if (strncmp(*e, "LC_", 3) != 0 && strncmp(*e, "LANG", 4) != 0) {
            ret[n++] = *e;
        }
    }
    ret[n] = NULL;
}

static int spawn(const char *const *argv, int out_fd, pid_t *ret_pid)
{
    char *environment[ENVIRONMENT_MAX + 1];
    char locale[] = "LC_ALL=C";
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    char *words[16];
    size_t n = 0;
    int failed;

    for (; argv[n] != NULL; n++) {
        CHECK(n + 1 < ARRAY_COUNT(words));
        memcpy(&words[n], &argv[n], sizeof(words[n])); // posix_spawn does not write to them
    }
    CHECK(n > 0);
    words[n] = NULL;
    make_environment(environment, locale);
    sigemptyset(&none);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out_fd, STDERR_FILENO);
    failed = posix_spawn(ret_pid, words[0], &actions, &attr, words, environment);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return failed;
}

/* Until the tool closes its output, or the deadline: then false. */
static bool collect(int fd, uint64_t until_ms, struct buf *out)
{
    char piece[PIECE_BYTES];

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        uint64_t now = now_ms();
        ssize_t n;

        if (now >= until_ms) {
            return false;
        }
        if (poll(&p, 1, (int)(until_ms - now)) <= 0) {
            continue;
        }
        n = read(fd, piece, sizeof(piece));
        if (n <= 0) {
            return true;
        }
        if (buf_status(out) == OK && out->len < out->max) {
            size_t room = out->max - out->len;

            buf_append(out, piece, (size_t)n < room ? (size_t)n : room);
        }
    }
}

static bool reap(pid_t pid, uint64_t until_ms, int *ret_exit)
{
    for (;;) {
        int status = 0;
        pid_t got = waitpid(pid, &status, WNOHANG);

        if (got == pid) {
            *ret_exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            return true;
        }
        if (got < 0 && errno != EINTR) { // somebody else reaps all children
            *ret_exit = 0;
            return true;
        }
        if (now_ms() >= until_ms) {
            return false;
        }
        usleep(5000);
    }
}

enum status tool_run(const char *const *argv, uint32_t timeout_ms, struct buf *out, int *ret_exit,
                     struct error *err)
{
    const uint64_t until_ms = now_ms() + timeout_ms;
    int fds[2];
    pid_t pid = 0;
    int failed;
    bool ended;
    int code = 0;

    if (pipe2(fds, O_CLOEXEC) != 0) {
        return error_set(err, E_IO, "%s: no pipe: %s", argv[0], strerror(errno));
    }
    failed = spawn(argv, fds[1], &pid);
    close(fds[1]);
    if (failed != 0) {
        close(fds[0]);
        return error_set(err, E_NOT_FOUND, "%s cannot be started: %s", argv[0], strerror(failed));
    }
    ended = collect(fds[0], until_ms, out) && reap(pid, until_ms, &code);
    close(fds[0]);
    if (!ended) {
        kill(-pid, SIGKILL);
        (void)reap(pid, now_ms() + REAP_WAIT_MS, &code);
        return error_set(err, E_TIMEOUT, "%s hangs: no end within %u ms", argv[0], timeout_ms);
    }
    *ret_exit = code;
    return OK;
}

static bool is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool find_in_path(const char *name, char ret_path[256])
{
    struct str all = str_from_c(getenv("PATH"));

    for (size_t at = 0; at < all.len;) {
        size_t end = str_find_byte(all, ':', at);
        struct str folder = str_slice(all, at, end);

        if (folder.len > 0 && folder.len < 200) {
            snprintf(ret_path, 256, "%.*s/%s", STR_ARG(folder), name);
            if (is_program(ret_path)) {
                return true;
            }
        }
        at = end == SIZE_MAX ? all.len : end + 1;
    }
    return false;
}

bool tool_run_find(const char *root, const char *name, char ret_path[256])
{
    static const char *const folders[] = {
        "/usr/bin",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/usr/sbin",
        "/usr/local/Ascend/driver/tools",
        "/usr/local/neuware/bin",
        "/opt/mtgpu/bin",
    };

    if (root[0] == '\0' && find_in_path(name, ret_path)) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
        int n = snprintf(ret_path, 256, "%s%s/%s", root, folders[i], name);

        if (n > 0 && n < 256 && is_program(ret_path)) {
            return true;
        }
    }
    ret_path[0] = '\0';
    return false;
}
