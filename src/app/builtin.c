#include "app/builtin.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES_MAX (PATH_MAX + 64)

static bool is_model_dir(struct buf *path)
{
    size_t len = path->len;
    bool found;

    buf_append_c(path, "/config.json");
    found = buf_status(path) == OK && access(buf_c(path), R_OK) == 0;
    path->len = len;
    return found && buf_c(path) != NULL;
}

/* DIR/SUFFIX into `out` when a model lies there. */
static bool try_dir(struct buf *out, struct str dir, const char *suffix)
{
    buf_reset(out);
    buf_append_str(out, dir);
    buf_append_c(out, suffix);
    return is_model_dir(out);
}

/* The folder of the running program, without the slash. */
static struct str program_dir(char *memory, size_t cap)
{
    ssize_t n = readlink("/proc/self/exe", memory, cap);
    struct str path = {memory, n > 0 ? (size_t)n : 0};

    while (path.len > 0 && path.ptr[path.len - 1] != '/') {
        path.len--;
    }
    return str_slice(path, 0, path.len > 0 ? path.len - 1 : 0);
}

enum status builtin_dir(struct buf *out, struct error *err)
{
    static const char *const places[] = {
        "/../share/kontor/builtin-model", // installed
        "/../share/builtin-model",        // build/ inside the source tree
        "/../../share/builtin-model",     // build/asan/
    };
    const char *share = getenv("KONTOR_SHARE");
    char memory[PATH_BYTES_MAX];
    struct str dir = program_dir(memory, sizeof(memory));

    if (share != NULL && try_dir(out, str_from_c(share), "/builtin-model")) {
        return OK;
    }
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (try_dir(out, dir, places[i])) {
            return OK;
        }
    }
    buf_reset(out);
    return error_set(
        err, E_NOT_FOUND,
        "the built-in model is not installed beside this program; name a checkpoint folder, "
        "or set KONTOR_SHARE to the folder that holds builtin-model");
}
