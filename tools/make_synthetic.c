/* make_synthetic.c - write a glm4 checkpoint of any size with random bf16 weights, for speed runs.
 *
 *   ninja -C build tests/make_synthetic
 *   build/tests/make_synthetic OUT_DIR [--layers N] [--hidden N] [--ffn N] [--heads N] [--kv-heads
 *       N] [--head-dim N] [--vocab N] [--positions N] [--seed N] [--shard-mib N] [--tokenizer DIR]
 *
 * The default has the proportions of GLM-4-9B at a quarter of its width squared: 1.16 billion
 * parameters, 2.3 GB.  The folder has the published layout (config.json, shards with an index) and
 * a copy of the tokenizer and template of --tokenizer.  Same arguments, same bytes.
 */
#include "base/check.h"
#include "base/str.h"
#include "model/dummy.h"
#include "model/registry.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PART_VALUES 65536 // generated and written at a time

struct settings {
    const char *out;
    const char *tokenizer;
    uint64_t seed;
    uint64_t shard_bytes;
    struct model_config c;
};

struct entry {
    struct weight w;
    uint32_t part;
    uint32_t shard;
    uint64_t offset; // in the shard's data
    uint64_t n_values;
};

struct list {
    struct entry *entries; // owned
    uint32_t n;
    uint32_t cap;
};

static _Noreturn void die(const char *what, const char *name)
{
    fprintf(stderr, "make_synthetic: %s %s: %s\n", what, name, strerror(errno));
    exit(1);
}

static _Noreturn void usage(const char *why)
{
    fprintf(stderr, "make_synthetic: %s\nusage: see the head of tools/make_synthetic.c\n", why);
    exit(2);
}

static FILE *create(const struct settings *s, const char *name)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", s->out, name);
    f = fopen(path, "wb");
    if (f == NULL) {
        die("cannot create", path);
    }
    return f;
}

static void finish(FILE *f, const char *name)
{
    if (ferror(f) || fclose(f) != 0) {
        die("cannot write", name);
    }
}

static enum status add_parts(void *user, const struct weight *w)
{
    struct list *l = user;

    for (uint32_t i = 0; i < w->n_parts; i++) {
        if (l->n == l->cap) {
            l->cap = l->cap == 0 ? 64 : l->cap * 2;
            l->entries = realloc(l->entries, l->cap * sizeof(*l->entries));
            if (l->entries == NULL) {
                die("no memory for", "the list");
            }
        }
        l->entries[l->n++] = (struct entry){.w = *w,
                                            .part = i,
                                            .n_values = (uint64_t)w->parts[i].n_rows * w->n_cols};
    }
    return OK;
}

/* Fill shards in order; returns their number. */
static uint32_t assign_shards(struct list *l, uint64_t shard_bytes)
{
    uint32_t shard = 0;
    uint64_t used = 0;

    for (uint32_t i = 0; i < l->n; i++) {
        struct entry *e = &l->entries[i];

        if (used > 0 && used + e->n_values * 2 > shard_bytes) {
            shard++;
            used = 0;
        }
        e->shard = shard;
        e->offset = used;
        used += e->n_values * 2;
    }
    return shard + 1;
}

static void shard_name(uint32_t shard, uint32_t n_shards, char name[64])
{
    if (n_shards == 1) {
        snprintf(name, 64, "model.safetensors");
    } else {
        snprintf(name, 64, "model-%05" PRIu32 "-of-%05" PRIu32 ".safetensors", shard + 1, n_shards);
    }
}

static void append_header_entry(const struct entry *e, bool first, struct buf *out)
{
    const struct weight_part *part = &e->w.parts[e->part];

    buf_printf(out, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[%" PRIu32, first ? "" : ",",
               part->name, part->n_rows);
    if (e->w.kind != WEIGHT_VECTOR) {
        buf_printf(out, ",%" PRIu32, e->w.n_cols);
    }
    buf_printf(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", e->offset,
               e->offset + e->n_values * 2);
}

static void write_values(const struct settings *s, const struct entry *e, FILE *f)
{
    static uint16_t values[PART_VALUES];

    for (uint64_t at = 0; at < e->n_values; at += PART_VALUES) {
        uint64_t n = e->n_values - at < PART_VALUES ? e->n_values - at : PART_VALUES;

        dummy_fill(s->seed, &e->w, &e->w.parts[e->part], at, n, values);
        if (fwrite(values, sizeof(*values), n, f) != n) {
            die("cannot write", e->w.parts[e->part].name);
        }
    }
}

static void write_shard(const struct settings *s, const struct list *l, uint32_t shard,
                        uint32_t n_shards)
{
    struct buf header;
    char name[64];
    FILE *f;
    bool first = true;

    buf_init(&header, (size_t)64 << 20);
    buf_append_byte(&header, '{');
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->entries[i].shard == shard) {
            append_header_entry(&l->entries[i], first, &header);
            first = false;
        }
    }
    buf_append_byte(&header, '}');
    while (header.len % 8 != 0) {
        buf_append_byte(&header, ' ');
    }
    CHECK(buf_status(&header) == OK);
    shard_name(shard, n_shards, name);
    f = create(s, name);
    for (unsigned i = 0; i < 8; i++) {
        fputc((int)(header.len >> (8 * i) & 0xff), f);
    }
    fwrite(header.ptr, 1, header.len, f);
    buf_done(&header);
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->entries[i].shard == shard) {
            write_values(s, &l->entries[i], f);
        }
    }
    finish(f, name);
}

static void write_index(const struct settings *s, const struct list *l, uint32_t n_shards)
{
    FILE *f = create(s, "model.safetensors.index.json");
    uint64_t total = 0;
    char name[64];

    for (uint32_t i = 0; i < l->n; i++) {
        total += l->entries[i].n_values * 2;
    }
    fprintf(f, "{\n  \"metadata\": {\"total_size\": %" PRIu64 "},\n  \"weight_map\": {\n", total);
    for (uint32_t i = 0; i < l->n; i++) {
        shard_name(l->entries[i].shard, n_shards, name);
        fprintf(f, "    \"%s\": \"%s\"%s\n", l->entries[i].w.parts[l->entries[i].part].name, name,
                i + 1 == l->n ? "" : ",");
    }
    fprintf(f, "  }\n}\n");
    finish(f, "index");
}

static void write_config(const struct settings *s)
{
    const struct model_config *c = &s->c;
    FILE *f = create(s, "config.json");

    fprintf(f,
            "{\n  \"architectures\": [\"Glm4ForCausalLM\"],\n  \"model_type\": \"glm4\",\n"
            "  \"attention_bias\": true,\n  \"hidden_act\": \"silu\",\n"
            "  \"hidden_size\": %" PRIu32 ",\n  \"num_hidden_layers\": %" PRIu32 ",\n"
            "  \"intermediate_size\": %" PRIu32 ",\n  \"num_attention_heads\": %" PRIu32 ",\n"
            "  \"num_key_value_heads\": %" PRIu32 ",\n  \"head_dim\": %" PRIu32 ",\n"
            "  \"vocab_size\": %" PRIu32 ",\n  \"max_position_embeddings\": %" PRIu32 ",\n"
            "  \"rms_norm_eps\": 1e-05,\n  \"rope_theta\": 10000.0,\n"
            "  \"partial_rotary_factor\": 0.5,\n  \"tie_word_embeddings\": false,\n"
            "  \"eos_token_id\": [832, 839, 841],\n  \"pad_token_id\": 832,\n"
            "  \"torch_dtype\": \"bfloat16\"\n}\n",
            c->hidden, c->n_layers, c->ffn_hidden, c->n_heads, c->n_kv_heads, c->head_dim, c->vocab,
            c->max_positions);
    finish(f, "config.json");
    f = create(s, "generation_config.json");
    fprintf(f, "{\"eos_token_id\": [832, 839, 841], \"pad_token_id\": 832}\n");
    finish(f, "generation_config.json");
}

/* Absent files are left out; a template may be missing, serve then asks for --chat-template. */
static void copy_file(const struct settings *s, const char *name)
{
    char path[4096];
    char part[65536];
    size_t n;
    FILE *from;
    FILE *to;

    snprintf(path, sizeof(path), "%s/%s", s->tokenizer, name);
    from = fopen(path, "rb");
    if (from == NULL) {
        return;
    }
    to = create(s, name);
    while ((n = fread(part, 1, sizeof(part), from)) > 0) {
        fwrite(part, 1, n, to);
    }
    fclose(from);
    finish(to, name);
}

static uint32_t read_number(const char *name, const char *word)
{
    uint64_t v = 0;

    if (word == NULL || str_to_u64(str_from_c(word), &v) != OK || v == 0 || v > 16777216) {
        fprintf(stderr, "make_synthetic: %s needs a number from 1 to 16777216\n", name);
        exit(2);
    }
    return (uint32_t)v;
}

static void read_arguments(int argc, char **argv, struct settings *s)
{
    struct {
        const char *name;
        uint32_t *to;
    } numbers[] = {{"--layers", &s->c.n_layers},     {"--hidden", &s->c.hidden},
                   {"--ffn", &s->c.ffn_hidden},      {"--heads", &s->c.n_heads},
                   {"--kv-heads", &s->c.n_kv_heads}, {"--head-dim", &s->c.head_dim},
                   {"--vocab", &s->c.vocab},         {"--positions", &s->c.max_positions}};

    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        bool found = false;

        if (i == 1 && argv[i][0] != '-') {
            s->out = argv[i--];
            continue;
        }
        for (size_t j = 0; j < ARRAY_COUNT(numbers); j++) {
            if (strcmp(argv[i], numbers[j].name) == 0) {
                *numbers[j].to = read_number(argv[i], value);
                found = true;
            }
        }
        if (found) {
            continue;
        }
        if (strcmp(argv[i], "--seed") == 0) {
            s->seed = read_number(argv[i], value);
        } else if (strcmp(argv[i], "--shard-mib") == 0) {
            s->shard_bytes = (uint64_t)read_number(argv[i], value) << 20;
        } else if (strcmp(argv[i], "--tokenizer") == 0 && value != NULL) {
            s->tokenizer = value;
        } else {
            usage("unknown argument");
        }
    }
}

int main(int argc, char **argv)
{
    static const char *const files[] = {"tokenizer.json", "tokenizer_config.json",
                                        "chat_template.jinja"};
    struct settings s = {.seed = 1,
                         .shard_bytes = (uint64_t)1 << 30,
                         .c = {.n_layers = 20,
                               .hidden = 2048,
                               .ffn_hidden = 6848,
                               .n_heads = 16,
                               .n_kv_heads = 2,
                               .head_dim = 128,
                               .vocab = 32768,
                               .max_positions = 32768,
                               .attention_bias = true}};
    const struct registry_entry *e = registry_find(STR("Glm4ForCausalLM"), STR("glm4"));
    struct list l = {.entries = NULL};
    uint32_t n_shards;

    read_arguments(argc, argv, &s);
    if (s.out == NULL) {
        usage("name the folder to write");
    }
    if (mkdir(s.out, 0777) != 0 && errno != EEXIST) {
        die("cannot make", s.out);
    }
    CHECK(e != NULL && e->arch->visit_weights(&s.c, NULL, add_parts, &l) == OK);
    n_shards = assign_shards(&l, s.shard_bytes);
    for (uint32_t i = 0; i < n_shards; i++) {
        write_shard(&s, &l, i, n_shards);
    }
    if (n_shards > 1) {
        write_index(&s, &l, n_shards);
    }
    write_config(&s);
    for (size_t i = 0; s.tokenizer != NULL && i < ARRAY_COUNT(files); i++) {
        copy_file(&s, files[i]);
    }
    free(l.entries);
    return 0;
}
