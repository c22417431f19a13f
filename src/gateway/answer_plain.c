/* Answers that need no engine thread: models, health, metrics, version, the page, unknown paths. */
#include "gateway/answer_internal.h"
#include "gateway/gateway_internal.h"

#define JSON_TYPE "application/json"

static enum stage_verdict send_scratch(struct call *call, int http_status, const char *type)
{
    struct buf *out = &call->gw->scratch;

    if (buf_status(out) != OK) {
        return call_refuse(call, 500, NULL, NULL, "The answer is too large.");
    }
    call_reply(call, http_status, type, buf_str(out));
    return STAGE_NEXT;
}

/* --- models --- */

static void put_model(struct call *call, struct buf *out, struct str name)
{
    const struct gateway *gw = call->gw;

    buf_append_str(out, STR("{\"id\":"));
    json_write_string(out, name);
    buf_append_str(out, STR(",\"object\":\"model\",\"created\":"));
    json_write_i64(out, gw->created_s);
    buf_append_str(out, STR(",\"owned_by\":\"kontor\",\"root\":"));
    json_write_string(out, call->fleet->has_remote ? name : call->fleet->settings->models[0].name);
    buf_append_str(out, STR(",\"parent\":null,\"max_model_len\":"));
    if (gw->engine == NULL) {
        buf_append_str(out, STR("null"));
    } else {
        json_write_i64(out, engine_model(gw->engine)->max_model_len);
    }
    buf_append_str(out, STR(",\"permission\":[]}"));
}

enum stage_verdict answer_plain_models(struct call *call)
{
    const struct settings *s = call->fleet->settings;
    struct buf *out = &call->gw->scratch;
    uint32_t n = 0;

    buf_reset(out);
    buf_append_str(out, STR("{\"object\":\"list\",\"data\":["));
    for (uint32_t i = 0; i < s->n_models; i++) {
        if (stage_read_model_known(call, s->models[i].name)) { // and the caller may see it
            buf_append_c(out, n++ > 0 ? "," : "");
            put_model(call, out, s->models[i].name);
        }
    }
    buf_append_str(out, STR("]}"));
    return send_scratch(call, 200, JSON_TYPE);
}

enum stage_verdict answer_plain_model(struct call *call)
{
    struct buf *out = &call->gw->scratch;

    if (!stage_read_model_known(call, call->argument)) {
        return stage_read_refuse_model(call, call->argument);
    }
    buf_reset(out);
    put_model(call, out, call->argument);
    return send_scratch(call, 200, JSON_TYPE);
}

/* --- health --- */

static bool some_upstream_up(const struct gateway *gw)
{
    for (uint32_t i = 0; i < gw->fleet->settings->n_upstreams; i++) {
        const struct fleet_upstream *u = &gw->fleet->upstreams[i];

        if (u->origin != NULL && !u->down && u->breaker.state != BREAKER_OPEN) {
            return true;
        }
    }
    return false;
}

static const char *health_word(struct gateway *gw)
{
    struct engine_stats st = {0};

    if (gw->state == GATEWAY_DRAINING) {
        return "draining";
    }
    if (gw->fleet->has_remote && some_upstream_up(gw)) {
        return "healthy";
    }
    if (!gw->fleet->has_local) {
        return "unhealthy";
    }
    if (gw->engine == NULL) {
        return "loading";
    }
    engine_stats(gw->engine, &st);
    return st.failed ? "unhealthy" : "healthy";
}

/* Of the devices here, then one number for each upstream that reports any. */
static void put_utilization(struct gateway *gw, struct buf *out)
{
    double percent[GATEWAY_UTILIZATION_MAX];
    uint32_t n = 0;

    if (gw->options.utilization != NULL) {
        n = gw->options.utilization(gw->options.user, percent, GATEWAY_UTILIZATION_MAX);
    }
    for (uint32_t i = 0; i < gw->fleet->settings->n_upstreams; i++) {
        if (gw->fleet->upstreams[i].utilization >= 0 && n < GATEWAY_UTILIZATION_MAX) {
            percent[n++] = gw->fleet->upstreams[i].utilization;
        }
    }
    buf_append_str(out, STR(",\"gpu_utilization\":["));
    for (uint32_t i = 0; i < n && i < GATEWAY_UTILIZATION_MAX; i++) {
        buf_append_c(out, i == 0 ? "" : ",");
        json_write_double(out, percent[i], false);
    }
    buf_append_byte(out, ']');
}

enum stage_verdict answer_plain_health(struct call *call)
{
    const struct http_field retry = {STR("retry-after"), STR("5")};
    struct gateway *gw = call->gw;
    struct buf *out = &gw->scratch;
    const char *word = health_word(gw);
    const bool healthy = str_eq(str_from_c(word), STR("healthy"));

    buf_reset(out);
    buf_append_str(out, STR("{\"status\":"));
    json_write_string(out, str_from_c(word));
    put_utilization(gw, out);
    buf_append_byte(out, '}');
    call_reply_fields(call, healthy ? 200 : 503, JSON_TYPE, &retry, healthy ? 0 : 1, buf_str(out));
    return STAGE_NEXT;
}

enum stage_verdict answer_plain_live(struct call *call)
{
    call_reply(call, 200, JSON_TYPE, STR("{\"status\":\"live\"}"));
    return STAGE_NEXT;
}

enum stage_verdict answer_plain_version(struct call *call)
{
    struct buf *out = &call->gw->scratch;

    buf_reset(out);
    buf_append_str(out, STR("{\"version\":"));
    json_write_string(out, str_from_c(call->gw->options.version));
    buf_append_byte(out, '}');
    return send_scratch(call, 200, JSON_TYPE);
}

/* Requests inside, this one not counted. */
enum stage_verdict answer_plain_load(struct call *call)
{
    struct buf *out = &call->gw->scratch;

    buf_reset(out);
    buf_printf(out, "{\"server_load\":%u}", call->gw->n_calls - 1);
    return send_scratch(call, 200, JSON_TYPE);
}

enum stage_verdict answer_plain_metrics(struct call *call)
{
    struct buf *out = &call->gw->scratch;

    gateway_meters_refresh(call->gw);
    buf_reset(out);
    metrics_render(call->gw->options.metrics, out);
    return send_scratch(call, 200, "text/plain; version=0.0.4; charset=utf-8");
}

/* --- page --- */

enum stage_verdict answer_plain_page(struct call *call)
{
    const struct http_field fields[] = {
        {STR("cache-control"), STR("no-cache")},
        {STR("content-security-policy"),
         STR("default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
             "connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
             "frame-ancestors 'none'")},
        {STR("x-content-type-options"), STR("nosniff")},
        {STR("referrer-policy"), STR("no-referrer")},
    };

    if (call->gw->options.console_page.len == 0) {
        return stage_answer_no_route(call);
    }
    call_reply_fields(call, 200, "text/html; charset=utf-8", fields, 4,
                      call->gw->options.console_page);
    return STAGE_NEXT;
}

enum stage_verdict answer_plain_icon(struct call *call)
{
    static const char icon[] =
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 32 32\"><rect width=\"32\" "
        "height=\"32\" rx=\"6\" fill=\"#1d3557\"/><path d=\"M10 7v18M22 7L10 17l12 8\" "
        "stroke=\"#fff\" stroke-width=\"3.5\" fill=\"none\"/></svg>";

    call_reply(call, 200, "image/svg+xml", (struct str){icon, sizeof(icon) - 1});
    return STAGE_NEXT;
}
