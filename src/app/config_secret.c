#include "app/config_secret.h"
#include "app/config_scalar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct str unread = {"not-read", sizeof("not-read") - 1};

/* Header lines and comparisons take visible ASCII only; a blank inside is a pasting mistake. */
static bool is_usable(struct config_reader *r, const struct config_key *key,
                      const struct yaml_node *node, struct str secret)
{
    if (secret.len == 0) {
        config_report_error(r->report, node->mark, "%s: the secret is empty", key->name);
        return false;
    }
    for (size_t i = 0; i < secret.len; i++) {
        if (secret.ptr[i] <= ' ' || secret.ptr[i] > '~') {
            config_report_error(r->report, node->mark,
                                "%s: the secret has a blank or a character that is not ASCII at "
                                "byte %zu; secrets are visible ASCII",
                                key->name, i + 1);
            return false;
        }
    }
    return true;
}

static bool complain(struct config_reader *r, const struct config_key *key,
                     const struct yaml_node *node, const char *path, int error)
{
    config_report_error(r->report, node->mark, "%s: cannot read %s: %s", key->name, path,
                        strerror(error));
    return false;
}

/* Whole file into the arena, blanks around it cut off. */
static bool read_file(struct config_reader *r, const struct config_key *key,
                      const struct yaml_node *node, struct str *ret_text)
{
    const char *path = config_scalar_path(r, node->text).ptr;
    char *bytes = arena_alloc(r->arena, CONFIG_SECRET_BYTES_MAX);
    int fd = bytes == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    ssize_t n;

    if (bytes == NULL) {
        config_report_error(r->report, node->mark, "%s: no memory", key->name);
        return false;
    }
    if (fd < 0) {
        return complain(r, key, node, path, errno);
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > CONFIG_SECRET_BYTES_MAX) {
        close(fd);
        config_report_error(r->report, node->mark, "%s: %s is not a file of at most %d bytes",
                            key->name, path, CONFIG_SECRET_BYTES_MAX);
        return false;
    }
    n = read(fd, bytes, CONFIG_SECRET_BYTES_MAX);
    close(fd);
    if (n < 0) {
        return complain(r, key, node, path, errno);
    }
    if ((st.st_mode & S_IROTH) != 0) {
        config_report_warn(r->report, node->mark,
                           "%s: every user of this machine can read %s; chmod 600 it", key->name,
                           path);
    }
    *ret_text = str_trim((struct str){bytes, (size_t)n});
    return true;
}

static bool read_variable(struct config_reader *r, const struct config_key *key,
                          const struct yaml_node *node, struct str *ret_text)
{
    const char *value = getenv(node->text.ptr);
    struct str copy;

    if (value == NULL || value[0] == '\0') {
        config_report_error(r->report, node->mark, "%s: the environment variable %.*s is %s",
                            key->name, CONFIG_READ_SHOW(node->text),
                            value == NULL ? "not set" : "empty");
        return false;
    }
    if (arena_dup(r->arena, str_trim(str_from_c(value)), &copy) != OK) {
        config_report_error(r->report, node->mark, "%s: no memory", key->name);
        return false;
    }
    *ret_text = copy;
    return true;
}

static void warn_literal(struct config_reader *r, const struct config_key *key,
                         struct yaml_mark mark)
{
    config_report_warn(r->report, mark,
                       "%s: a secret in the file itself is seen by everybody who reads, copies or "
                       "commits it; use %s_file or %s_env",
                       key->name, key->name, key->name);
}

bool config_secret_one(struct config_reader *r, const struct config_key *key,
                       const struct yaml_node *node, struct str *ret_secret)
{
    struct str text = node->text;

    if (key->type == CONFIG_SECRET) {
        warn_literal(r, key, node->mark);
    } else if (r->without_secrets) {
        *ret_secret = unread;
        return true;
    } else if (key->type == CONFIG_SECRET_FILE ? !read_file(r, key, node, &text)
                                               : !read_variable(r, key, node, &text)) {
        return false;
    }
    if (!is_usable(r, key, node, text)) {
        return false;
    }
    *ret_secret = text;
    return true;
}

/* Words of a file or variable between commas, blanks and line ends. */
static bool split(struct config_reader *r, const struct config_key *key,
                  const struct yaml_node *node, struct str text, struct str *secrets,
                  uint32_t *ret_n)
{
    uint32_t n = 0;
    size_t begin = 0;

    for (size_t at = 0; at <= text.len; at++) {
        if (at < text.len && text.ptr[at] != ',' && text.ptr[at] > ' ') {
            continue;
        }
        if (at > begin && n == CONFIG_SECRET_KEYS_MAX) {
            config_report_error(r->report, node->mark, "%s: more than %d keys", key->name,
                                CONFIG_SECRET_KEYS_MAX);
            return false;
        }
        if (at > begin) {
            secrets[n] = str_slice(text, begin, at);
            if (!is_usable(r, key, node, secrets[n++])) {
                return false;
            }
        }
        begin = at + 1;
    }
    if (n == 0) {
        config_report_error(r->report, node->mark, "%s: there is no key in it", key->name);
    }
    *ret_n = n;
    return n > 0;
}

static bool read_literals(struct config_reader *r, const struct config_key *key,
                          const struct yaml_node *node, struct str *secrets, uint32_t *ret_n)
{
    uint32_t n = 0;

    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        if (item->kind != YAML_SCALAR) {
            config_report_error(r->report, item->mark, "%s: a key is one word", key->name);
            return false;
        }
        if (n == CONFIG_SECRET_KEYS_MAX) {
            config_report_error(r->report, item->mark, "%s: more than %d keys", key->name,
                                CONFIG_SECRET_KEYS_MAX);
            return false;
        }
        if (!is_usable(r, key, item, item->text)) {
            return false;
        }
        warn_literal(r, key, item->mark);
        secrets[n++] = item->text;
    }
    *ret_n = n;
    return true;
}

bool config_secret_several(struct config_reader *r, const struct config_key *key,
                           const struct yaml_node *node, const struct str **ret_secrets,
                           uint32_t *ret_n)
{
    struct str *secrets = arena_zalloc(r->arena, CONFIG_SECRET_KEYS_MAX, sizeof(*secrets));
    struct str text;
    bool read;

    if (secrets == NULL) {
        config_report_error(r->report, node->mark, "%s: no memory", key->name);
        return false;
    }
    *ret_secrets = secrets;
    if (key->type == CONFIG_SECRETS) {
        return read_literals(r, key, node, secrets, ret_n);
    }
    if (r->without_secrets) {
        secrets[0] = unread;
        *ret_n = 1;
        return true;
    }
    read = key->type == CONFIG_SECRETS_FILE ? read_file(r, key, node, &text)
                                            : read_variable(r, key, node, &text);
    return read && split(r, key, node, text, secrets, ret_n);
}
