#include "gateway/continuation_internal.h"
#include "base/check.h"
#include "gateway/gateway_internal.h"

#include <string.h>

#define FLAGS STR("\"continue_final_message\":true,\"add_generation_prompt\":false,")
#define OPENING STR(",{\"role\":\"assistant\",\"content\":\"")
#define CLOSING STR("\"}")

/* --- remembering --- */

static bool somebody_continues(const struct call *call, const struct fleet_upstream *self)
{
    const struct settings *s = call->fleet->settings;

    for (uint32_t i = 0; i < call->decision->n_pools; i++) {
        const struct settings_pool *pool = &s->pools[call->decision->pools[i]];

        for (uint32_t k = 0; k < pool->n_members; k++) {
            const struct fleet_upstream *u = &call->fleet->upstreams[pool->members[k].upstream];

            if (u != self && u->conf->continues && u->continues_proved) {
                return true;
            }
        }
    }
    return false;
}

/* At least one message, so that another one can follow. */
static bool has_messages(struct str messages)
{
    return messages.len > 2 && messages.ptr[0] == '[' &&
           str_trim(str_slice(messages, 1, messages.len - 1)).len > 0;
}

struct continuation *continuation_begin(struct attempt *a)
{
    const struct call *call = a->call;
    const struct splice *s = &call->splice;
    struct continuation *c;

    if (call->route->dialect != DIALECT_CHAT || !a->reader.sse || s->n != 1 || s->has_tools ||
        s->continues || !has_messages(s->prompt_source) || !somebody_continues(call, a->server)) {
        return NULL;
    }
    c = arena_zalloc(call->arena, 1, sizeof(*c));
    if (c != NULL) {
        buf_init(&c->said, CONTINUATION_BYTES_MAX);
        c->possible = true;
    }
    return c;
}

static void keep(struct arena *arena, struct str value, struct str *ret_kept)
{
    if (ret_kept->len == 0 && value.len > 0 && arena_dup(arena, value, ret_kept) != OK) {
        *ret_kept = (struct str){NULL, 0};
    }
}

void continuation_note(struct continuation *c, struct arena *arena, const struct response_facts *f)
{
    if (!c->possible) {
        return;
    }
    keep(arena, f->id, &c->id);
    keep(arena, f->created, &c->created);
    keep(arena, f->model, &c->model);
    buf_append_str(&c->said, f->content);
    // what is no plain text cannot be said again; an answer that ended needs nobody
    c->possible = f->text_bytes == f->content.len && !f->finished && buf_status(&c->said) == OK;
    if (!c->possible) {
        buf_done(&c->said);
    }
}

void continuation_end(struct continuation *c)
{
    if (c != NULL) {
        buf_done(&c->said);
    }
}

/* --- asking --- */

enum status continuation_pieces(struct attempt *a, const struct continuation *c)
{
    struct call *call = a->call;
    const struct str body = call->splice.body;
    const struct str messages = call->splice.prompt_source;
    const size_t end = (size_t)(messages.ptr - body.ptr) + messages.len - 1; // the bracket
    struct splice s = call->splice;
    struct str said;
    struct buf out;
    enum status rc;

    if (arena_dup(call->arena, buf_str(&c->said), &said) != OK) {
        return E_NO_MEMORY;
    }
    // One new body: this is rare, and spans would have to be cut once more.
    buf_init(&out, body.len + said.len + 512);
    buf_append_str(&out, str_slice(body, 0, s.object_at));
    buf_append_str(&out, FLAGS);
    buf_append_str(&out, str_slice(body, s.object_at, end));
    buf_append_str(&out, OPENING);
    buf_append_str(&out, said);
    buf_append_str(&out, CLOSING);
    buf_append_str(&out, str_slice(body, end, body.len));
    rc = buf_status(&out);
    if (rc == OK) {
        rc = arena_dup(call->arena, buf_str(&out), &s.body);
    }
    buf_done(&out);
    if (rc == OK) {
        struct chat_failure ignored;
        const struct str copy = s.body;

        rc = splice_read(call->arena, copy, &s, &ignored);
    }
    if (rc == OK) {
        rc = splice_pieces(call->arena, &s, fleet_model_there(a->server, call->splice.model), true,
                           a->pieces, &a->n_pieces);
    }
    return rc;
}

/* --- answering --- */

static void put_member(struct buf *out, const char *name, struct str value)
{
    if (value.len > 0) {
        buf_append_byte(out, '"');
        buf_append_c(out, name);
        buf_append_str(out, STR("\":"));
        buf_append_str(out, value);
        buf_append_byte(out, ',');
    }
}

static void open_event(const struct continuation *c, struct buf *out)
{
    buf_reset(out);
    buf_append_str(out, STR("data: {"));
    put_member(out, "id", c->id);
    buf_append_str(out, STR("\"object\":\"chat.completion.chunk\","));
    put_member(out, "created", c->created);
    put_member(out, "model", c->model);
}

bool continuation_rewrite(const struct continuation *c, const struct response_facts *f,
                          const struct chat_usage *usage, bool wants_usage, struct buf *out)
{
    if (f->n_choices == 0) {
        if (!f->has_usage || !wants_usage) {
            return false;
        }
        open_event(c, out);
        buf_append_str(out, STR("\"choices\":[],\"usage\":"));
        chat_json_write_usage(out, usage);
    } else if (f->text_bytes == 0 && !f->finished) {
        return false;
    } else {
        open_event(c, out);
        buf_append_str(out, STR("\"choices\":"));
        buf_append_str(out, f->choices);
    }
    buf_append_str(out, STR("}\n\n"));
    return buf_status(out) == OK;
}
