#include "base/check.h"
#include "base/json.h"
#include "model/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_MAX 1024
#define TREE_BYTES_CEILING ((size_t)512 << 20)
/* An element count over this cannot be a file; keeps count * bits inside 64 bits. */
#define ELEMENTS_MAX ((uint64_t)1 << 56)

static const struct {
    const char *name;
    uint32_t bits;
} dtypes[TENSOR_DTYPE_COUNT] = {
    [TENSOR_F32] = {"F32", 32},        [TENSOR_BF16] = {"BF16", 16},
    [TENSOR_F16] = {"F16", 16},        [TENSOR_F64] = {"F64", 64},
    [TENSOR_BOOL] = {"BOOL", 8},       [TENSOR_I8] = {"I8", 8},
    [TENSOR_U8] = {"U8", 8},           [TENSOR_I16] = {"I16", 16},
    [TENSOR_U16] = {"U16", 16},        [TENSOR_I32] = {"I32", 32},
    [TENSOR_U32] = {"U32", 32},        [TENSOR_I64] = {"I64", 64},
    [TENSOR_U64] = {"U64", 64},        [TENSOR_F8_E4M3] = {"F8_E4M3", 8},
    [TENSOR_F8_E5M2] = {"F8_E5M2", 8}, [TENSOR_F8_E8M0] = {"F8_E8M0", 8},
    [TENSOR_F6_E2M3] = {"F6_E2M3", 6}, [TENSOR_F6_E3M2] = {"F6_E3M2", 6},
    [TENSOR_F4] = {"F4", 4},           [TENSOR_C64] = {"C64", 64},
};

const char *safetensors_dtype_name(enum tensor_dtype t)
{
    CHECK(t < TENSOR_DTYPE_COUNT);
    return dtypes[t].name;
}

uint32_t safetensors_dtype_bits(enum tensor_dtype t)
{
    CHECK(t < TENSOR_DTYPE_COUNT);
    return dtypes[t].bits;
}

void safetensors_shape_text(const struct tensor *t, char *text, size_t n)
{
    size_t used = 0;

    CHECK(n >= 3);
    text[used++] = '[';
    for (uint32_t i = 0; i < t->n_dims && used < n; i++) {
        int wrote = snprintf(text + used, n - used, "%s%" PRIu64, i == 0 ? "" : ", ", t->dims[i]);

        used += wrote > 0 ? (size_t)wrote : 0;
    }
    used = used < n - 2 ? used : n - 2;
    text[used] = ']';
    text[used + 1] = '\0';
}

enum status safetensors_header_bytes(const uint8_t prefix[SAFETENSORS_PREFIX_BYTES],
                                     uint64_t file_bytes, uint64_t *ret_bytes, struct error *err)
{
    uint64_t n = 0;

    if (file_bytes < SAFETENSORS_PREFIX_BYTES) {
        return error_set(err, E_INVALID,
                         "the file has %" PRIu64 " bytes, a safetensors file at least 8",
                         file_bytes);
    }
    for (size_t i = SAFETENSORS_PREFIX_BYTES; i-- > 0;) {
        n = n << 8 | prefix[i];
    }
    if (n == 0 || n > file_bytes - SAFETENSORS_PREFIX_BYTES) {
        return error_set(err, E_INVALID,
                         "the header claims %" PRIu64 " bytes, the file has %" PRIu64
                         " behind the length: cut off, or not a safetensors file",
                         n, file_bytes - SAFETENSORS_PREFIX_BYTES);
    }
    if (n > SAFETENSORS_HEADER_MAX) {
        return error_set(err, E_INVALID,
                         "the header claims %" PRIu64 " bytes, the format allows %" PRIu64, n,
                         SAFETENSORS_HEADER_MAX);
    }
    *ret_bytes = n;
    return OK;
}

/* One header being read; `tensor` is the name of the entry at hand, for messages. */
struct header {
    struct arena *arena;
    const char *where;
    struct faults *faults;
    uint64_t data_offset; // of the first data byte in the file
    uint64_t data_bytes;
    struct tensor *tensors;
    uint32_t n_tensors;
};

#define FAULT(h, s, ...) faults_add((h)->faults, (s), (h)->where, __VA_ARGS__)

static bool read_dtype(struct header *h, const struct json_value *v, struct tensor *t)
{
    struct str word = json_string_or(v, STR(""));

    for (uint32_t i = 0; i < TENSOR_DTYPE_COUNT; i++) {
        if (str_eq(word, str_from_c(dtypes[i].name))) {
            t->dtype = (enum tensor_dtype)i;
            return true;
        }
    }
    FAULT(h, E_INVALID, "tensor %s: dtype \"%.*s\" is unknown", t->name,
          (int)(word.len < 40 ? word.len : 40), word.len > 0 ? word.ptr : "");
    return false;
}

static bool read_shape(struct header *h, const struct json_value *v, struct tensor *t,
                       uint64_t *ret_elements)
{
    uint64_t n = 1;

    if (v == NULL || v->kind != JSON_ARRAY || v->n_items > SAFETENSORS_DIMS_MAX) {
        FAULT(h, E_INVALID, "tensor %s: shape must be a list of at most %d numbers", t->name,
              SAFETENSORS_DIMS_MAX);
        return false;
    }
    for (uint32_t i = 0; i < v->n_items; i++) {
        int64_t dim = json_int_or(&v->items[i], -1);

        if (dim < 0) {
            FAULT(h, E_INVALID, "tensor %s: shape must hold whole numbers from 0 on", t->name);
            return false;
        }
        t->dims[i] = (uint64_t)dim;
        if (__builtin_mul_overflow(n, (uint64_t)dim, &n) || n > ELEMENTS_MAX) {
            FAULT(h, E_INVALID, "tensor %s: shape has too many elements for any file", t->name);
            return false;
        }
    }
    t->n_dims = v->n_items;
    *ret_elements = n;
    return true;
}

static bool read_range(struct header *h, const struct json_value *v, struct tensor *t)
{
    int64_t begin = -1;
    int64_t end = -1;

    if (v != NULL && v->kind == JSON_ARRAY && v->n_items == 2) {
        begin = json_int_or(&v->items[0], -1);
        end = json_int_or(&v->items[1], -1);
    }
    if (begin < 0 || end < begin) {
        FAULT(h, E_INVALID, "tensor %s: data_offsets must be [begin, end] with 0 <= begin <= end",
              t->name);
        return false;
    }
    if ((uint64_t)end > h->data_bytes) {
        FAULT(h, E_INVALID,
              "tensor %s: data_offsets end at %" PRId64 ", the file has %" PRIu64
              " bytes of data: cut off?",
              t->name, end, h->data_bytes);
        return false;
    }
    t->offset = h->data_offset + (uint64_t)begin;
    t->n_bytes = (uint64_t)(end - begin);
    return true;
}

/* Names are printed and looked up as C strings. */
static bool is_printable(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] <= ' ' || name.ptr[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

static bool read_name(struct header *h, struct str key, struct tensor *t)
{
    struct str copy;

    if (key.len == 0 || key.len > NAME_BYTES_MAX || !is_printable(key)) {
        FAULT(h, E_INVALID,
              "a tensor's name is empty, longer than %d bytes or holds other characters than "
              "printable ASCII",
              NAME_BYTES_MAX);
        return false;
    }
    if (arena_dup(h->arena, key, &copy) != OK) {
        FAULT(h, E_NO_MEMORY, "no memory for the list of tensors");
        return false;
    }
    t->name = copy.ptr;
    return true;
}

static void read_tensor(struct header *h, const struct json_member *m)
{
    struct tensor t = {.name = NULL};
    const struct json_value *v = &m->value;
    uint64_t elements = 0;
    uint64_t bits;
    char shape[96];

    if (!read_name(h, m->key, &t)) {
        return;
    }
    if (v->kind != JSON_OBJECT) {
        FAULT(h, E_INVALID, "tensor %s: the entry must be an object, but is: %s", t.name,
              json_kind_name(v->kind));
        return;
    }
    if (!read_dtype(h, json_get(v, STR("dtype")), &t) ||
        !read_shape(h, json_get(v, STR("shape")), &t, &elements) ||
        !read_range(h, json_get(v, STR("data_offsets")), &t)) {
        return;
    }
    bits = elements * dtypes[t.dtype].bits;
    if (bits % 8 != 0 || bits / 8 != t.n_bytes) {
        safetensors_shape_text(&t, shape, sizeof(shape));
        FAULT(h, E_INVALID, "tensor %s: %s %s needs %" PRIu64 " bytes, data_offsets span %" PRIu64,
              t.name, dtypes[t.dtype].name, shape, bits / 8, t.n_bytes);
        return;
    }
    h->tensors[h->n_tensors++] = t;
}

static void check_metadata(struct header *h, const struct json_value *v)
{
    bool good = v->kind == JSON_OBJECT;

    for (uint32_t i = 0; good && i < v->n_items; i++) {
        good = v->members[i].value.kind == JSON_STRING;
    }
    if (!good) {
        FAULT(h, E_INVALID, "__metadata__ must map strings to strings");
    }
}

static int by_offset(const void *a, const void *b)
{
    const struct tensor *x = a;
    const struct tensor *y = b;

    if (x->offset != y->offset) {
        return x->offset < y->offset ? -1 : 1;
    }
    if (x->n_bytes != y->n_bytes) { // empty tensors first, so that they never seem to overlap
        return x->n_bytes < y->n_bytes ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

/* Every byte of the data belongs to exactly one tensor. */
static void check_cover(struct header *h)
{
    uint64_t at = h->data_offset;
    const char *before = "the header";

    for (uint32_t i = 0; i < h->n_tensors; i++) {
        const struct tensor *t = &h->tensors[i];

        if (t->offset < at) {
            FAULT(h, E_INVALID, "tensor %s: its bytes overlap those of %s", t->name, before);
        } else if (t->offset > at) {
            FAULT(h, E_INVALID, "%" PRIu64 " bytes between %s and tensor %s belong to no tensor",
                  t->offset - at, before, t->name);
        }
        if (t->offset + t->n_bytes > at) {
            at = t->offset + t->n_bytes;
            before = t->name;
        }
    }
    if (at < h->data_offset + h->data_bytes) {
        FAULT(h, E_INVALID, "%" PRIu64 " bytes at the end of the file belong to no tensor",
              h->data_offset + h->data_bytes - at);
    }
}

static enum status read_members(struct header *h, const struct json_value *root)
{
    if (root->kind != JSON_OBJECT) {
        FAULT(h, E_INVALID, "the header must be an object, but is: %s", json_kind_name(root->kind));
        return E_INVALID;
    }
    if (root->n_items > SAFETENSORS_TENSORS_MAX) {
        FAULT(h, E_LIMIT, "the header lists %u tensors, at most %d are read", root->n_items,
              SAFETENSORS_TENSORS_MAX);
        return E_LIMIT;
    }
    h->tensors = arena_zalloc(h->arena, root->n_items, sizeof(*h->tensors));
    if (h->tensors == NULL) {
        FAULT(h, E_NO_MEMORY, "no memory for the list of tensors");
        return E_NO_MEMORY;
    }
    for (uint32_t i = 0; i < root->n_items; i++) {
        if (str_eq(root->members[i].key, STR("__metadata__"))) {
            check_metadata(h, &root->members[i].value);
        } else {
            read_tensor(h, &root->members[i]);
        }
    }
    return OK;
}

/* Room for the JSON tree of a header of n bytes.  A value of the tree is larger than its text, up
 * to some 50 times for "[],"; the ceiling keeps a hostile header from taking all memory. */
static size_t tree_bytes_max(size_t n)
{
    size_t room = 64 * n + ((size_t)1 << 20);

    return room < TREE_BYTES_CEILING ? room : TREE_BYTES_CEILING;
}

enum status safetensors_parse(struct arena *arena, struct str json, uint64_t file_bytes,
                              const char *where, struct faults *faults, struct tensor **ret_tensors,
                              uint32_t *ret_n_tensors)
{
    struct json_limits limits = {.depth_max = 4, .values_max = 16 * SAFETENSORS_TENSORS_MAX};
    struct arena *tree = arena_create(tree_bytes_max(json.len));
    struct header h = {.arena = arena, .where = where, .faults = faults};
    const struct json_value *root = NULL;
    uint32_t n_faults = faults->n_faults;
    struct error err;
    enum status rc;

    CHECK(file_bytes >= SAFETENSORS_PREFIX_BYTES + json.len);
    h.data_offset = SAFETENSORS_PREFIX_BYTES + json.len;
    h.data_bytes = file_bytes - h.data_offset;
    if (tree == NULL) {
        FAULT(&h, E_NO_MEMORY, "no memory for the header");
        return E_NO_MEMORY;
    }
    rc = json_parse(tree, json, &limits, &root, &err);
    if (rc != OK) {
        (void)error_prefix(&err, rc, "header");
        faults_add_error(faults, where, &err);
        goto out;
    }
    rc = read_members(&h, root);
    if (rc != OK) {
        goto out;
    }
    qsort(h.tensors, h.n_tensors, sizeof(*h.tensors), by_offset);
    if (faults->n_faults == n_faults) { // with entries missing, gaps would be reported for nothing
        check_cover(&h);
    }
    if (faults->n_faults != n_faults) {
        rc = E_INVALID;
        goto out;
    }
    *ret_tensors = h.tensors;
    *ret_n_tensors = h.n_tensors;
out:
    arena_destroy(tree);
    return rc;
}
