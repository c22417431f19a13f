#include "app/cmd_keys.h"
#include "app/command.h"
#include "app/keys_options.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/json.h"
#include "gateway/jwt.h"
#include "store/keys_file.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define ARENA_BYTES_MAX (8u << 20)
#define LIST_BYTES_MAX (256u << 20)
#define SECRET_BYTES_MAX 4096
#define FILE_NAME "keys.json" // in the state folder

static const struct option options[] = {
    {"state-dir", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "DIR",
     "The gateway's state folder; keys are in its " FILE_NAME ".", NULL, NULL, 0, 0},
    {"file", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "FILE", "The key file itself.", NULL, NULL,
     0, 0},
    {"key", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "ID",
     "Which key to rotate, revoke or make a token for; `list` prints the ids.", NULL, NULL, 0, 0},
    {"name", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "TEXT", "create: what it is for.", NULL,
     NULL, 0, 0},
    {"team", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "TEXT",
     "create: who it belongs to; rules, limits and reports know teams.", NULL, NULL, 0, 0},
    {"models", NULL, OPTION_STRINGS, OPTION_HONOUR, NULL, "NAME",
     "create: models it may ask. Default: all.", NULL, NULL, 0, 0},
    {"pools", NULL, OPTION_STRINGS, OPTION_HONOUR, NULL, "NAME",
     "create: pools that may answer it. Default: all.", NULL, NULL, 0, 0},
    {"label", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "LABEL",
     "create: label of its requests: public, internal, confidential or private. Default: the "
     "gateway's default_label.",
     NULL, NULL, 0, 0},
    {"ceiling", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "LABEL",
     "create: strictest label it may send. Default: private, that is any.", NULL, NULL, 0, 0},
    {"requests-per-minute", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "N", "create: limit.", NULL,
     NULL, 1, 1e15},
    {"tokens-per-minute", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "N", "create: limit.", NULL,
     NULL, 1, 1e15},
    {"parallel", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "N", "create: requests at once.", NULL,
     NULL, 1, UINT32_MAX},
    {"money", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "AMOUNT",
     "create: budget per --period, in the currency of the prices.", NULL, NULL, 0, 0},
    {"period", NULL, OPTION_CHOICE, OPTION_HONOUR, "month", "PERIOD", "create: of --money.",
     "day|month|total", NULL, 0, 0},
    {"expires", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "TIME",
     "create: life of the key, for example 90d. Default: no end.", NULL, NULL, 0, 0},
    {"overlap", NULL, OPTION_STRING, OPTION_HONOUR, "24h", "TIME",
     "rotate: how long the old secret still opens; 0s: it ends at once.", NULL, NULL, 0, 0},
    {"ttl", NULL, OPTION_STRING, OPTION_HONOUR, "24h", "TIME", "token: its life.", NULL, NULL, 0,
     0},
    {"secret-file", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "FILE",
     "token: the secret that the gateway's auth.jwt.secret_file names.", NULL, NULL, 0, 0},
    {"json", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL, "Print JSON.", NULL, NULL, 0, 0},
};

const struct option_set cmd_keys_options = {
    .usage = "kontor keys create|list|rotate|revoke|token --state-dir DIR|--file FILE [options]",
    .about = "API keys of the gateway. A key is shown once, when it is made; the file holds keyed\n"
             "hashes. A running gateway follows changes within a second.",
    .positional = "ACTION",
    .options = options,
    .n_options = ARRAY_COUNT(options),
    .epilog = "examples:\n"
              "  kontor keys create --state-dir /var/lib/kontor --name batch --team risk \\\n"
              "    --label internal --models glm-5-9b-chat --expires 90d\n"
              "  kontor keys rotate --state-dir /var/lib/kontor --key k_Zx81... --overlap 48h\n"
              "  kontor keys token --state-dir /var/lib/kontor --key k_Zx81... --ttl 24h \\\n"
              "    --secret-file /etc/kontor/jwt.secret\n"
              "exit codes: 0 done, 1 failed (the message says why), 2 wrong usage",
};

/* One run. */
struct run {
    const struct option_values *values;
    struct arena *arena;
    char path[4096];
    int64_t now_s;
};

static int failed(const char *text)
{
    return command_failed("keys", text);
}

static int wrong(const char *text)
{
    command_failed("keys", text);
    return EXIT_CODE_USAGE;
}

static bool json(const struct run *r)
{
    return option_flag(r->values, "json");
}

/* A key on a terminal is what was asked for; the copy in memory is wiped. */
static int show_secret(const struct run *r, struct str id, char *key, int64_t old_ends_s)
{
    bool shown;

    if (json(r)) {
        printf("{\"id\": \"%.*s\", \"key\": \"%s\"", STR_ARG(id), key);
        if (old_ends_s != 0) {
            printf(", \"old_ends\": %" PRId64, old_ends_s);
        }
        printf("}\n");
    } else {
        printf("id   %.*s\nkey  %s\n", STR_ARG(id), key);
        fprintf(stderr, "The key is shown this once. Only its hash is kept.\n");
    }
    shown = fflush(stdout) == 0;
    OPENSSL_cleanse(key, KEYS_KEY_CHARS);
    return shown ? EXIT_CODE_OK
                 : failed("the key was made but could not be shown; rotate it to see a new one");
}

static int create(struct run *r)
{
    struct keys_file *f = NULL;
    struct keys_key wanted;
    struct error err = {0};
    struct str id = STR("");
    char key[KEYS_KEY_CHARS + 1];
    int code;
    enum status rc = keys_options_key(r->values, r->now_s, r->arena, &wanted, &err);

    if (rc != OK) {
        return rc == E_INVALID ? wrong(err.text) : failed(err.text);
    }
    if (option_string(r->values, "state-dir") != NULL) {
        (void)mkdir(option_string(r->values, "state-dir"), 0700); // what is wrong is told next
    }
    rc = keys_file_open(r->path, &f, &err);
    rc = rc != OK ? rc : keys_file_create(f, &wanted, r->now_s, key, &id, &err);
    rc = rc != OK ? rc : keys_file_save(f, &err);
    code = rc == OK ? show_secret(r, id, key, 0) : failed(err.text);
    keys_file_close(f);
    return code;
}

static int rotate(struct run *r)
{
    const struct str id = str_from_c(option_string(r->values, "key"));
    struct keys_file *f = NULL;
    struct error err = {0};
    char key[KEYS_KEY_CHARS + 1];
    int64_t overlap_s = 0;
    enum status rc =
        keys_options_duration("overlap", option_string(r->values, "overlap"), &overlap_s, &err);

    if (rc != OK) {
        return wrong(err.text);
    }
    rc = keys_file_open(r->path, &f, &err);
    rc = rc != OK ? rc : keys_file_rotate(f, id, r->now_s, r->now_s + overlap_s, key, &err);
    rc = rc != OK ? rc : keys_file_save(f, &err);
    keys_file_close(f);
    return rc == OK ? show_secret(r, id, key, r->now_s + overlap_s) : failed(err.text);
}

static int revoke(struct run *r)
{
    const struct str id = str_from_c(option_string(r->values, "key"));
    struct keys_file *f = NULL;
    struct error err = {0};
    enum status rc = keys_file_open(r->path, &f, &err);

    rc = rc != OK ? rc : keys_file_revoke(f, id, &err);
    rc = rc != OK ? rc : keys_file_save(f, &err);
    keys_file_close(f);
    if (rc != OK) {
        return failed(err.text);
    }
    if (json(r)) {
        printf("{\"id\": \"%.*s\", \"revoked\": true}\n", STR_ARG(id));
    } else {
        printf("%.*s is revoked\n", STR_ARG(id));
    }
    return EXIT_CODE_OK;
}

/* --- list --- */

static const char *state_of(const struct keys_key *key, int64_t now_s)
{
    if (key->revoked) {
        return "revoked";
    }
    return key->expires_s != 0 && now_s >= key->expires_s ? "expired" : "valid";
}

static void day_of(int64_t at_s, char ret_text[32])
{
    const time_t at = (time_t)at_s;
    struct tm tm;

    if (at_s == 0 || gmtime_r(&at, &tm) == NULL || strftime(ret_text, 32, "%Y-%m-%d", &tm) == 0) {
        memcpy(ret_text, "-", 2);
    }
}

static void put_list(struct buf *out, const char *name, const struct str *list, uint32_t n)
{
    buf_printf(out, ", \"%s\": [", name);
    for (uint32_t i = 0; i < n; i++) {
        buf_append_c(out, i > 0 ? ", " : "");
        json_write_string(out, list[i]);
    }
    buf_append_byte(out, ']');
}

static void put_json(struct buf *out, const struct keys_key *key, int64_t now_s)
{
    static const char *const periods[] = {"day", "month", "total"};
    const struct limits_rule *l = &key->limits;

    buf_append_c(out, "{\"id\": ");
    json_write_string(out, key->id);
    buf_append_c(out, ", \"name\": ");
    json_write_string(out, key->name);
    buf_append_c(out, ", \"team\": ");
    json_write_string(out, key->team);
    buf_printf(out, ", \"state\": \"%s\", \"label\": ", state_of(key, now_s));
    buf_printf(out, key->has_label ? "\"%s\"" : "null", label_name(key->label));
    buf_printf(out, ", \"ceiling\": \"%s\"", label_name(key->ceiling));
    put_list(out, "models", key->models, key->n_models);
    put_list(out, "pools", key->pools, key->n_pools);
    buf_printf(out,
               ", \"requests_per_minute\": %" PRIu64 ", \"tokens_per_minute\": %" PRIu64
               ", \"parallel\": %u, \"money_nano\": %" PRId64 ", \"period\": \"%s\"",
               l->requests_per_minute, l->tokens_per_minute, l->parallel, l->money_nano,
               periods[l->period]);
    buf_printf(out, ", \"created\": %" PRId64 ", \"expires\": %" PRId64 "}", key->created_s,
               key->expires_s);
}

static void put_row(struct buf *out, const struct keys_key *key, int64_t now_s)
{
    char created[32];
    char expires[32];

    day_of(key->created_s, created);
    day_of(key->expires_s, expires);
    buf_printf(out, "%-14.*s  %-8s  %-10s  %-10s  %-12s  %-12s  %-16.*s  %.*s\n", STR_ARG(key->id),
               state_of(key, now_s), created, expires,
               key->has_label ? label_name(key->label) : "-", label_name(key->ceiling),
               STR_ARG(key->team), STR_ARG(key->name));
}

static int list(struct run *r)
{
    struct keys *keys = NULL;
    struct error err = {0};
    struct buf out;
    int code;

    if (keys_load(r->path, &keys, &err) != OK) {
        return failed(err.text);
    }
    buf_init(&out, LIST_BYTES_MAX);
    if (json(r)) {
        buf_append_c(&out, "[");
    } else {
        buf_printf(&out, "%-14s  %-8s  %-10s  %-10s  %-12s  %-12s  %-16s  %s\n", "id", "state",
                   "created", "expires", "label", "ceiling", "team", "name");
    }
    for (uint32_t i = 0; i < keys_count(keys); i++) {
        if (json(r)) {
            buf_append_c(&out, i > 0 ? ",\n " : "");
            put_json(&out, keys_at(keys, i), r->now_s);
        } else {
            put_row(&out, keys_at(keys, i), r->now_s);
        }
    }
    buf_append_c(&out, json(r) ? "]\n" : "");
    keys_unref(keys);
    code = buf_status(&out) == OK ? EXIT_CODE_OK : failed("the list is too long");
    if (code == EXIT_CODE_OK) {
        fwrite(out.ptr, 1, out.len, stdout);
    }
    buf_done(&out);
    return code;
}

/* --- token --- */

static enum status read_secret(const char *path, char secret[SECRET_BYTES_MAX],
                               struct str *ret_secret, struct error *err)
{
    FILE *f = fopen(path, "re");
    size_t n;

    if (f == NULL) {
        return error_set(err, E_IO, "%s cannot be opened: %s", path, strerror(errno));
    }
    n = fread(secret, 1, SECRET_BYTES_MAX, f);
    fclose(f);
    *ret_secret = str_trim((struct str){secret, n});
    if (n == SECRET_BYTES_MAX || ret_secret->len < JWT_SECRET_BYTES_MIN) {
        return error_set(err, E_INVALID,
                         "the secret in %s must have %d to %d bytes; `openssl rand -hex 32` makes "
                         "one",
                         path, JWT_SECRET_BYTES_MIN, SECRET_BYTES_MAX - 1);
    }
    return OK;
}

/* A token for a key that is not there, or has ended, would never be accepted. */
static enum status check_key(const struct run *r, struct str id, struct error *err)
{
    struct keys *keys = NULL;
    const struct keys_key *key;
    enum status rc = keys_load(r->path, &keys, err);

    if (rc != OK) {
        return rc;
    }
    key = keys_by_id(keys, id);
    if (key == NULL) {
        rc = error_set(err, E_NOT_FOUND, "there is no key with the id \"%.*s\" in %s",
                       STR_ARG(str_slice(id, 0, 64)), r->path);
    } else if (strcmp(state_of(key, r->now_s), "valid") != 0) {
        rc = error_set(err, E_INVALID, "the key \"%.*s\" is %s", STR_ARG(id),
                       state_of(key, r->now_s));
    }
    keys_unref(keys);
    return rc;
}

static int token(struct run *r)
{
    const struct str id = str_from_c(option_string(r->values, "key"));
    const char *secret_file = option_string(r->values, "secret-file");
    char secret[SECRET_BYTES_MAX];
    struct str s = STR("");
    struct error err = {0};
    struct buf out;
    int64_t ttl_s = 0;
    enum status rc;

    if (secret_file == NULL ||
        keys_options_duration("ttl", option_string(r->values, "ttl"), &ttl_s, &err) != OK) {
        return wrong(secret_file == NULL ? "name the --secret-file that signs" : err.text);
    }
    rc = check_key(r, id, &err);
    rc = rc != OK ? rc : read_secret(secret_file, secret, &s, &err);
    if (rc != OK) {
        return failed(err.text);
    }
    buf_init(&out, JWT_BYTES_MAX);
    jwt_mint(&out, s, id, r->now_s, r->now_s + ttl_s);
    OPENSSL_cleanse(secret, sizeof(secret));
    CHECK(buf_status(&out) == OK);
    if (json(r)) {
        printf("{\"token\": \"%s\", \"expires\": %" PRId64 "}\n", buf_c(&out), r->now_s + ttl_s);
    } else {
        printf("%s\n", buf_c(&out));
    }
    buf_done(&out);
    return EXIT_CODE_OK;
}

/* --- choice --- */

static const struct {
    const char *name;
    bool needs_key;
    int (*run)(struct run *r);
} actions[] = {
    {"create", false, create}, {"list", false, list},  {"rotate", true, rotate},
    {"revoke", true, revoke},  {"token", true, token},
};

static bool find_path(struct run *r)
{
    const char *folder = option_string(r->values, "state-dir");
    const char *file = option_string(r->values, "file");
    int n;

    if ((folder == NULL) == (file == NULL)) {
        return false;
    }
    n = file != NULL ? snprintf(r->path, sizeof(r->path), "%s", file)
                     : snprintf(r->path, sizeof(r->path), "%s/" FILE_NAME, folder);
    return n > 0 && (size_t)n < sizeof(r->path);
}

static int act(struct run *r)
{
    const char *word = option_positional(r->values);

    for (size_t i = 0; word != NULL && i < ARRAY_COUNT(actions); i++) {
        if (strcmp(word, actions[i].name) != 0) {
            continue;
        }
        if (!find_path(r)) {
            return wrong("name the keys with either --state-dir or --file");
        }
        if (actions[i].needs_key && option_string(r->values, "key") == NULL) {
            return wrong("name the --key by its id; `kontor keys list` prints the ids");
        }
        return actions[i].run(r);
    }
    return wrong("the action is create, list, rotate, revoke or token; see kontor keys --help");
}

int cmd_keys_run(int argc, char **argv)
{
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    struct option_values *v = NULL;
    struct run r = {.arena = arena, .now_s = kontor_clock_system.unix_ms(NULL) / 1000};
    int code = EXIT_CODE_OK;

    CHECK(arena != NULL);
    switch (option_parse(&cmd_keys_options, argc, argv, arena, &v)) {
    case OPTION_EXIT_0:
        break;
    case OPTION_EXIT_2:
        code = EXIT_CODE_USAGE;
        break;
    case OPTION_RUN:
        r.values = v;
        code = act(&r);
        break;
    }
    arena_destroy(arena);
    return code;
}
