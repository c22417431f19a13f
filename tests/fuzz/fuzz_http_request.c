/* The request head: measured in random steps and at once, both must agree; what is accepted must
 * hold the promises of http_parse.h.  Also read as a response. */
#include "base/check.h"
#include "net/http_parse.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static bool inside(struct str part, struct str whole)
{
    return part.len == 0 || str_eq(part, STR("/")) ||
           (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_head(const struct http_head *h, struct str whole)
{
    CHECK(h->n_fields <= HTTP_FIELDS_MAX);
    CHECK(inside(h->method, whole) && inside(h->path, whole) && inside(h->query, whole));
    CHECK(h->body != HTTP_BODY_LENGTH || h->content_length > 0);
    for (uint32_t i = 0; i < h->n_fields; i++) {
        CHECK(http_parse_is_token(h->fields[i].name));
        CHECK(inside(h->fields[i].value, whole));
    }
}

static void check_path(struct str raw)
{
    char *out = malloc(raw.len + 1);
    struct str path;

    CHECK(out != NULL);
    if (http_parse_path(raw, out, &path) == OK) {
        CHECK(path.len <= raw.len);
        CHECK(path.len == 0 || memchr(path.ptr, 0, path.len) == NULL);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct http_field fields[HTTP_FIELDS_MAX];
    struct http_head head = {.fields = fields};
    struct http_fault fault = {0};
    struct str all = {(const char *)bytes + 1, n_bytes - 1};
    size_t whole = 0;
    size_t step;
    size_t seen = 0;
    enum status at_once;
    enum status rc = E_AGAIN;

    if (n_bytes == 0) {
        return 0;
    }
    step = (size_t)bytes[0] % 16 + 1;
    at_once = http_parse_end(all, 0, 0, &whole, &fault);
    for (size_t n = 0; n < all.len && rc == E_AGAIN; seen = n) {
        size_t there = 0;

        n = n + step < all.len ? n + step : all.len;
        rc = http_parse_end(str_slice(all, 0, n), seen, 0, &there, &fault);
        CHECK(rc != OK || (at_once == OK && there == whole));
    }
    CHECK(rc == at_once);
    if (at_once == OK) {
        if (http_parse_request(str_slice(all, 0, whole), &head, &fault) == OK) {
            check_head(&head, all);
            check_path(head.path);
        } else {
            CHECK(fault.http_status >= 400 && fault.text != NULL);
        }
        (void)!http_parse_response(str_slice(all, 0, whole), step == 1, &head, &fault);
    }
    return 0;
}
