#include "app/cmd_health.h"
#include "app/command.h"
#include "base/check.h"
#include "net/egress.h"
#include "net/permit.h"
#include "net/tls.h"

#include <stdio.h>
#include <string.h>

#define URL_BYTES_MAX 2048
#define BODY_BYTES_MAX (64 * 1024)
#define ARENA_BYTES_MAX (1 << 20)

static const struct permit permit = {LABEL_PUBLIC, "health"}; // the request says nothing

static const struct option options[] = {
    {"timeout", NULL, OPTION_COUNT, OPTION_HONOUR, "10", "SECONDS", "Give up after this long.",
     NULL, NULL, 1, 3600},
    {"ca-file", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "FILE",
     "With https: trust these certificate authorities (PEM) instead of the system's.", NULL, NULL,
     0, 0},
};

const struct option_set cmd_health_options = {
    .usage = "kontor health [URL] [options]",
    .about = "Ask a server's /health. URL is its root; default: http://127.0.0.1:8000.",
    .positional = "URL",
    .options = options,
    .n_options = ARRAY_COUNT(options),
    .epilog =
        "exit codes: 0 healthy, 1 loading, draining, unhealthy or not reachable, 2 wrong usage",
};

static bool on_body(void *user, struct str piece)
{
    buf_append_str(user, piece);
    return true;
}

/* The root of a server to its health URL; a URL that names /health already is taken as it is. */
static void health_url(const char *root, char url[URL_BYTES_MAX])
{
    struct str s = str_from_c(root);

    while (s.len > 0 && s.ptr[s.len - 1] == '/') {
        s.len--;
    }
    if (str_ends(s, STR("/v1"))) {
        s.len -= 3;
    }
    snprintf(url, URL_BYTES_MAX, "%.*s%s", STR_ARG(s),
             str_ends(s, STR("/health")) ? "" : "/health");
}

static int ask(const struct option_values *v)
{
    const char *root = option_positional(v);
    uint32_t timeout_ms = (uint32_t)option_count(v, "timeout") * 1000;
    char url[URL_BYTES_MAX];
    struct buf body;
    struct egress_request request = {
        .method = STR("GET"),
        .label = LABEL_PUBLIC,
        .connect_timeout_ms = timeout_ms,
        .first_byte_timeout_ms = timeout_ms,
        .idle_timeout_ms = timeout_ms,
        .answer_bytes_max = BODY_BYTES_MAX,
        .on_body = on_body,
        .user = &body,
    };
    struct error err = {0};
    int http_status = 0;
    const struct tls_client_options trust = {.ca_file = option_string(v, "ca-file")};
    struct tls_client *tls = NULL;
    enum status rc = OK;

    health_url(root != NULL ? root : "http://127.0.0.1:8000", url);
    request.url = str_from_c(url);
    buf_init(&body, BODY_BYTES_MAX);
    if (trust.ca_file != NULL) {
        rc = tls_client_create(&trust, &tls, &err);
        request.tls = tls;
    }
    if (rc == OK) {
        rc = egress_call(&permit, &request, &http_status, &err);
    }
    if (rc == OK) {
        printf("%.*s\n", STR_ARG(str_trim(buf_str(&body))));
    } else {
        command_failed("health", err.text);
    }
    buf_done(&body);
    tls_client_destroy(tls);
    return rc == OK && http_status == 200 ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

int cmd_health_run(int argc, char **argv)
{
    return command_run(&cmd_health_options, argc, argv, ARENA_BYTES_MAX, ask);
}
