/* routes.c - which path and method is what.  The table is the list of endpoints. */
#include "base/check.h"
#include "gateway/answer_internal.h"
#include "gateway/gateway_internal.h"

static const struct route routes[] = {
    // method, path, takes the rest of the path, asks for a key, body, pipeline, answer
    {"POST", "/v1/chat/completions", false, true, DIALECT_CHAT, &pipeline_inference, NULL},
    {"POST", "/v1/completions", false, true, DIALECT_COMPLETION, &pipeline_inference, NULL},
    {"POST", "/v1/embeddings", false, true, DIALECT_EMBEDDING, &pipeline_inference, NULL},
    {"POST", "/v1/responses", false, true, DIALECT_RESPONSES, &pipeline_inference, NULL},
    {"POST", "/v1/messages", false, true, DIALECT_MESSAGES, &pipeline_inference, NULL},
    {"GET", "/v1/models", false, true, DIALECT_NONE, &pipeline_answer, answer_plain_models},
    {"GET", "/v1/models/", true, true, DIALECT_NONE, &pipeline_answer, answer_plain_model},
    {"POST", "/tokenize", false, true, DIALECT_NONE, &pipeline_answer, answer_tokens_encode},
    {"POST", "/detokenize", false, true, DIALECT_NONE, &pipeline_answer, answer_tokens_decode},
    {"GET", "/metrics", false, false, DIALECT_NONE, &pipeline_answer, answer_plain_metrics},
    {"GET", "/health", false, false, DIALECT_NONE, &pipeline_answer, answer_plain_health},
    {"GET", "/ready", false, false, DIALECT_NONE, &pipeline_answer, answer_plain_health},
    {"GET", "/ping", false, false, DIALECT_NONE, &pipeline_answer, answer_plain_health},
    {"POST", "/ping", false, false, DIALECT_NONE, &pipeline_answer, answer_plain_health},
    {"GET", "/live", false, false, DIALECT_NONE, &pipeline_answer, answer_plain_live},
    {"GET", "/version", false, false, DIALECT_NONE, &pipeline_answer, answer_plain_version},
    {"GET", "/load", false, false, DIALECT_NONE, &pipeline_answer, answer_plain_load},
    {"GET", "/", false, false, DIALECT_NONE, &pipeline_answer, answer_plain_page},
    {"GET", "/favicon.ico", false, false, DIALECT_NONE, &pipeline_answer, answer_plain_icon},
};

_Static_assert(ARRAY_COUNT(routes) <= ROUTES_MAX, "ROUTES_MAX is too small");

const struct route routes_none = {
    "OTHER", "none", false, false, DIALECT_NONE, &pipeline_answer, stage_answer_no_route,
};
static const struct route guarded_none = {
    "OTHER", "none", false, true, DIALECT_NONE, &pipeline_answer, stage_answer_no_route,
};

static bool path_matches(const struct route *r, struct str path)
{
    const struct str own = str_from_c(r->path);

    return r->rest ? path.len > own.len && str_starts(path, own) : str_eq(path, own);
}

/* HEAD is a GET whose body stays here. */
static bool method_matches(const struct route *r, struct str method)
{
    const struct str own = str_from_c(r->method);

    return str_eq(method, own) || (str_eq(method, STR("HEAD")) && str_eq(own, STR("GET")));
}

static struct str allowed_for(bool get, bool post)
{
    if (get && post) {
        return STR("GET, HEAD, POST, OPTIONS");
    }
    if (get) {
        return STR("GET, HEAD, OPTIONS");
    }
    return post ? STR("POST, OPTIONS") : (struct str){NULL, 0};
}

const struct route *routes_find(struct str method, struct str path, bool has_remote,
                                struct str *ret_argument, struct str *ret_allowed)
{
    bool get = false;
    bool post = false;

    for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
        const struct route *r = &routes[i];

        if (!path_matches(r, path) || (r->dialect >= DIALECT_EMBEDDING && !has_remote)) {
            continue;
        }
        if (method_matches(r, method)) {
            *ret_argument = str_slice(path, str_from_c(r->path).len, path.len);
            return r;
        }
        get |= r->method[0] == 'G';
        post |= r->method[0] == 'P';
    }
    *ret_allowed = allowed_for(get, post);
    // Without a key nobody learns which paths exist under /v1.
    return str_starts(path, STR("/v1/")) && !str_eq(method, STR("OPTIONS")) ? &guarded_none
                                                                            : &routes_none;
}

uint32_t routes_count(void)
{
    return ARRAY_COUNT(routes);
}

const struct route *routes_at(uint32_t idx)
{
    CHECK(idx < ARRAY_COUNT(routes));
    return &routes[idx];
}
