#include "app/config_file.h"
#include "app/config_checks.h"
#include "app/config_probe.h"
#include "app/config_read.h"
#include "base/check.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ARENA_BYTES_MAX (32 << 20)

struct str config_file_folder(const char *path)
{
    struct str folder = str_from_c(path);

    while (folder.len > 0 && folder.ptr[folder.len - 1] != '/') {
        folder.len--;
    }
    if (folder.len > 1) {
        folder.len--; // "/" stays
    }
    return folder;
}

/* Stable over releases: it stands in records. */
static uint64_t digest_of(struct str text)
{
    uint8_t sha[HASH_SHA256_BYTES];
    uint64_t digest = 0;

    hash_sha256(text, sha);
    for (size_t i = 0; i < sizeof(digest); i++) {
        digest = digest << 8 | sha[i];
    }
    return digest;
}

const struct yaml_node *config_file_tree(struct arena *arena, struct str text,
                                         struct config_report *report)
{
    struct yaml_node *root = NULL;
    struct yaml_mark mark = {0, 0};
    struct error err;

    if (yaml_parse(arena, text, &root, &mark, &err) != OK) {
        config_report_error(report, mark, "%s", err.text);
        return NULL;
    }
    if (root->kind != YAML_MAP) {
        config_report_error(report, root->mark,
                            "the file must be a mapping: lines of the form \"key: value\"");
        return NULL;
    }
    return root;
}

static void override(const struct config_file_options *o, struct settings *s)
{
    struct settings_listener *l = &s->listeners[0];

    if (o->host != NULL || o->has_port) {
        if (s->n_listeners == 0) {
            *l = (struct settings_listener){.host = STR(CONFIG_CHECKS_HOST),
                                            .port = CONFIG_CHECKS_PORT};
        }
        l->host = o->host != NULL ? str_from_c(o->host) : l->host;
        l->port = o->has_port ? o->port : l->port;
        s->n_listeners = 1;
    }
    if (o->state_dir != NULL) {
        s->state_dir = str_from_c(o->state_dir);
    }
}

static struct settings *read_settings(struct arena *arena,
                                      const struct config_file_options *options, struct str text,
                                      struct config_report *report,
                                      const struct yaml_node **ret_root)
{
    struct settings *s = arena_zalloc(arena, 1, sizeof(*s));
    struct config_reader reader = {.arena = arena,
                                   .report = report,
                                   .folder = config_file_folder(options->path),
                                   .without_secrets = options->without_secrets};

    reader.root = s == NULL ? NULL : config_file_tree(arena, text, report);
    if (reader.root == NULL) {
        return NULL;
    }
    s->arena = arena;
    s->digest = digest_of(text);
    config_read_group(&reader, &config_schema, reader.root, s);
    override(options, s);
    config_checks_run(&reader, s);
    config_probe_run(&reader, s);
    *ret_root = reader.root;
    return s;
}

enum status config_file_parse(const struct config_file_options *options, struct str text,
                              struct config_report *report, struct config_file *ret_file)
{
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    const struct yaml_node *root = NULL;
    struct settings *s;

    if (arena == NULL) {
        return E_NO_MEMORY;
    }
    s = read_settings(arena, options, text, report, &root);
    config_report_sort(report);
    if (s == NULL || report->n_errors > 0) {
        arena_destroy(arena);
        return report->n_errors > 0 ? E_INVALID : E_NO_MEMORY;
    }
    ret_file->settings = s;
    ret_file->root = root;
    return OK;
}

/* One byte more than allowed, so that a file that is too large is told from one that just fits. */
static enum status read_all(int fd, struct buf *text)
{
    for (;;) { // ends: the buffer's ceiling, or the end of the file
        char *room = buf_reserve(text, 65536);
        ssize_t n = room == NULL ? 0 : read(fd, room, 65536);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return E_IO;
        }
        if (n == 0) {
            return buf_status(text);
        }
        buf_commit(text, (size_t)n);
        if (text->len > YAML_BYTES_MAX) {
            return E_LIMIT;
        }
    }
}

enum status config_file_text(const char *path, struct config_report *report, struct buf *text)
{
    struct yaml_mark whole = {0, 0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum status rc = fd < 0 ? E_IO : read_all(fd, text);

    if (rc == E_IO) {
        config_report_error(report, whole, "cannot be read: %s", strerror(errno));
    } else if (rc == E_LIMIT) {
        config_report_error(report, whole, "larger than %d bytes", YAML_BYTES_MAX);
    }
    if (fd >= 0) {
        close(fd);
    }
    return rc == OK || rc == E_NO_MEMORY ? rc : E_INVALID;
}

enum status config_file_load(const struct config_file_options *options,
                             struct config_report *report, struct config_file *ret_file)
{
    struct buf text;
    enum status rc;

    buf_init(&text, CONFIG_FILE_BUFFER_BYTES);
    rc = config_file_text(options->path, report, &text);
    if (rc == OK) {
        rc = config_file_parse(options, buf_str(&text), report, ret_file);
    }
    buf_done(&text);
    return rc;
}

void config_file_free(struct settings *settings)
{
    if (settings != NULL) {
        arena_destroy(settings->arena);
    }
}
