#include "net/sse.h"

void sse_init(struct sse *s, size_t max_bytes)
{
    const size_t max = max_bytes == 0 ? SSE_EVENT_BYTES_MAX : max_bytes;

    *s = (struct sse){0};
    buf_init(&s->line, max);
    buf_init(&s->data, max);
    buf_init(&s->name, 256);
}

void sse_done(struct sse *s)
{
    buf_done(&s->line);
    buf_done(&s->data);
    buf_done(&s->name);
}

/* "name: value"; one blank behind the colon belongs to neither. */
static void take_field(struct sse *s, struct str line)
{
    const size_t colon = str_find_byte(line, ':', 0);
    const struct str name = str_slice(line, 0, colon);
    struct str value = str_slice(line, colon == SIZE_MAX ? line.len : colon + 1, line.len);

    if (value.len > 0 && value.ptr[0] == ' ') {
        value = str_slice(value, 1, value.len);
    }
    if (str_eq(name, STR("data"))) {
        if (s->has_data) {
            buf_append_byte(&s->data, '\n');
        }
        buf_append_str(&s->data, value);
        s->has_data = true;
    } else if (str_eq(name, STR("event"))) {
        buf_reset(&s->name);
        buf_append_str(&s->name, value);
        if (buf_status(&s->name) != OK) {
            buf_reset(&s->name); // a name that long is none we know
        }
    }
}

static enum status end_line(struct sse *s, bool (*on_event)(void *, const struct sse_event *),
                            void *user)
{
    const struct str line = buf_str(&s->line);
    bool go_on = true;

    if (line.len > 0) {
        take_field(s, line);
    } else {
        const struct sse_event e = {buf_str(&s->name), buf_str(&s->data)};

        if (s->has_data) {
            go_on = on_event(user, &e);
        }
        buf_reset(&s->data);
        buf_reset(&s->name);
        s->has_data = false;
    }
    buf_reset(&s->line);
    if (!go_on) {
        return E_CANCELLED;
    }
    return buf_status(&s->data);
}

enum status sse_feed(struct sse *s, struct str bytes,
                     bool (*on_event)(void *user, const struct sse_event *event), void *user)
{
    size_t begin = 0;

    for (size_t i = 0; i < bytes.len; i++) {
        const char c = bytes.ptr[i];
        enum status rc;

        if (c == '\n' && s->after_cr) {
            s->after_cr = false;
            begin = i + 1;
            continue;
        }
        s->after_cr = c == '\r';
        if (c != '\n' && c != '\r') {
            continue;
        }
        buf_append_str(&s->line, str_slice(bytes, begin, i));
        begin = i + 1;
        rc = buf_status(&s->line);
        if (rc == OK) {
            rc = end_line(s, on_event, user);
        }
        if (rc != OK) {
            return rc;
        }
    }
    buf_append_str(&s->line, str_slice(bytes, begin, bytes.len));
    return buf_status(&s->line);
}
