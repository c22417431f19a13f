#include "base/json.h"
#include "base/json_internal.h"
#include "base/number.h"
#include "base/utf8.h"

#include <math.h>

static void write_escape(struct buf *out, unsigned char byte)
{
    switch (byte) {
    case '"':
        buf_append_c(out, "\\\"");
        break;
    case '\\':
        buf_append_c(out, "\\\\");
        break;
    case '\b':
        buf_append_c(out, "\\b");
        break;
    case '\f':
        buf_append_c(out, "\\f");
        break;
    case '\n':
        buf_append_c(out, "\\n");
        break;
    case '\r':
        buf_append_c(out, "\\r");
        break;
    case '\t':
        buf_append_c(out, "\\t");
        break;
    default:
        buf_printf(out, "\\u%04x", byte);
        break;
    }
}

void json_write_string(struct buf *out, struct str s)
{
    size_t begin = 0; // of the bytes not yet written
    size_t at = 0;
    uint32_t cp;
    unsigned len;

    buf_append_byte(out, '"');
    while ((at = json_text_skip_plain(s, at)) < s.len) {
        unsigned char byte = (unsigned char)s.ptr[at];

        len = byte < 0x80 ? 0 : utf8_decode(s, at, &cp);
        if (len > 0) {
            at += len;
            continue;
        }
        buf_append_str(out, str_slice(s, begin, at));
        if (byte < 0x80) {
            write_escape(out, byte);
        } else {
            buf_append_c(out, "\xEF\xBF\xBD");
        }
        at++;
        begin = at;
    }
    buf_append_str(out, str_slice(s, begin, at));
    buf_append_byte(out, '"');
}

/* Without printf: lines of logs and usage are mostly numbers. */
void json_write_i64(struct buf *out, int64_t v)
{
    if (v < 0) {
        buf_append_byte(out, '-');
    }
    buf_append_number(out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, 10);
}

void json_write_double(struct buf *out, double v, bool python_style)
{
    char text[NUMBER_TEXT_MAX];

    if (!isfinite(v)) {
        buf_append_c(out, "null");
        return;
    }
    buf_append(out, text, number_from_f64(v, !python_style, text));
}

/* Python prints integers of any size as they are, so a literal too big for int64 keeps its
 * bytes. */
static void write_number(struct buf *out, const struct json_value *v)
{
    if (v->source.len > 0 && str_find_byte(v->source, '.', 0) == SIZE_MAX &&
        str_find_byte(v->source, 'e', 0) == SIZE_MAX &&
        str_find_byte(v->source, 'E', 0) == SIZE_MAX) {
        buf_append_str(out, v->source);
        return;
    }
    json_write_double(out, v->number, true);
}

static void write_break(struct buf *out, uint32_t indent, uint32_t depth)
{
    if (indent == 0) {
        return;
    }
    buf_append_byte(out, '\n');
    for (uint64_t i = 0; i < (uint64_t)indent * depth; i++) {
        buf_append_byte(out, ' ');
    }
}

static void write_value(struct buf *out, const struct json_value *v, uint32_t indent,
                        uint32_t depth);

static void write_container(struct buf *out, const struct json_value *v, uint32_t indent,
                            uint32_t depth)
{
    bool is_object = v->kind == JSON_OBJECT;

    buf_append_byte(out, is_object ? '{' : '[');
    for (uint32_t i = 0; i < v->n_items; i++) {
        if (i > 0) {
            buf_append_c(out, indent == 0 ? ", " : ",");
        }
        write_break(out, indent, depth + 1);
        if (is_object) {
            json_write_string(out, v->members[i].key);
            buf_append_c(out, ": ");
        }
        write_value(out, is_object ? &v->members[i].value : &v->items[i], indent, depth + 1);
    }
    if (v->n_items > 0) {
        write_break(out, indent, depth);
    }
    buf_append_byte(out, is_object ? '}' : ']');
}

/* Recursion is as deep as the tree, which the parser limited. */
static void write_value(struct buf *out, const struct json_value *v, uint32_t indent,
                        uint32_t depth)
{
    switch (v->kind) {
    case JSON_NULL:
        buf_append_c(out, "null");
        break;
    case JSON_BOOL:
        buf_append_c(out, v->boolean ? "true" : "false");
        break;
    case JSON_INT:
        json_write_i64(out, v->integer);
        break;
    case JSON_DOUBLE:
        write_number(out, v);
        break;
    case JSON_STRING:
        json_write_string(out, v->string);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        write_container(out, v, indent, depth);
        break;
    }
}

void json_write_value(struct buf *out, const struct json_value *v, uint32_t indent)
{
    write_value(out, v, indent, 0);
}
