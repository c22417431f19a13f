/* Who is this?  Reads values of the Authorization field from stdin, one a line, and answers each
 * with a line of JSON: the caller, or the failure.  For tests that make keys and tokens elsewhere.
 *
 *     check_identity KEYS_FILE SECRET JWKS_FILE|URL ISSUER AUDIENCE     "" leaves one out
 */
#include "base/clock.h"
#include "base/json.h"
#include "gateway/identity.h"

#include <stdio.h>
#include <string.h>

static void answer(struct identity *id, const char *line)
{
    struct http_field field = {STR("Authorization"), str_from_c(line)};
    struct http_head head = {.fields = &field, .n_fields = 1};
    struct arena *arena = arena_create(1 << 20);
    struct identity_caller caller;
    struct chat_failure failure = {.http_status = 0};
    struct buf out;
    const int64_t now_s = kontor_clock_system.unix_ms(NULL) / 1000;
    const enum status rc = identity_check(id, &head, arena, now_s, &caller, &failure);

    buf_init(&out, 65536);
    if (rc == OK) {
        buf_append_c(&out, "{\"key\": ");
        json_write_string(&out, caller.key_id);
        buf_append_c(&out, ", \"team\": ");
        json_write_string(&out, caller.team);
        buf_printf(&out, ", \"label\": \"%s\", \"ceiling\": \"%s\", \"models\": %u}",
                   label_name(caller.label), label_name(caller.ceiling), caller.n_models);
    } else {
        buf_printf(&out, "{\"status\": %d, \"message\": ", failure.http_status);
        json_write_string(&out, str_from_c(failure.message));
        buf_append_byte(&out, '}');
    }
    puts(buf_c(&out));
    fflush(stdout);
    buf_done(&out);
    arena_destroy(arena);
}

int main(int argc, char **argv)
{
    struct settings s = {.default_label = LABEL_PRIVATE};
    struct identity_options options = {.settings = &s};
    struct identity *id = NULL;
    struct error err = {.status = OK};
    char line[65536];

    if (argc != 6) {
        return 2;
    }
    s.keys_file = str_from_c(argv[1]);
    s.jwt_secret = str_from_c(argv[2]);
    if (str_starts(str_from_c(argv[3]), STR("http"))) {
        s.jwks_url = str_from_c(argv[3]);
    } else {
        s.jwks_file = str_from_c(argv[3]);
    }
    s.jwt_issuer = str_from_c(argv[4]);
    s.jwt_audience = str_from_c(argv[5]);
    if (identity_create(&options, &id, &err) != OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        answer(id, line);
    }
    identity_destroy(id);
    return 0;
}
