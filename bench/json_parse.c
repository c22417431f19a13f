/* How fast base/json parses a document shaped like a large tokenizer.json, beside jansson and
 * memcpy over the same bytes in the same run. */
#include "base/check.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/rng.h"
#include "rival.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_WORDS 151552u
#define N_MERGES 150000u
#define N_ROUNDS 5

static void append_word(struct buf *out, uint32_t id)
{
    uint32_t words[4];
    char text[16];
    size_t len;

    rng_block(1, 0, id, words);
    len = 2 + words[0] % 10;
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)('a' + words[1 + i % 3] / (1 + i) % 26);
    }
    buf_append(out, text, len);
    if (words[0] % 4 == 0) {
        buf_append_c(out, "\xC4\xA0"); // as a blank in byte-level BPE
    }
    buf_printf(out, "%u", id); // unique
}

static void make_document(struct buf *out)
{
    buf_append_c(out, "{\n  \"model\": {\n    \"vocab\": {");
    for (uint32_t i = 0; i < N_WORDS; i++) {
        buf_append_c(out, i == 0 ? "\n      \"" : ",\n      \"");
        append_word(out, i);
        buf_printf(out, "\": %u", i);
    }
    buf_append_c(out, "\n    },\n    \"merges\": [");
    for (uint32_t i = 0; i < N_MERGES; i++) {
        buf_append_c(out, i == 0 ? "\n      [\n        \"" : ",\n      [\n        \"");
        append_word(out, i);
        buf_append_c(out, "\",\n        \"");
        append_word(out, N_MERGES - i);
        buf_append_c(out, "\"\n      ]");
    }
    buf_append_c(out, "\n    ]\n  }\n}\n");
    CHECK(buf_status(out) == OK);
}

static double parse_ours(struct str text)
{
    struct arena *arena = arena_create((size_t)1 << 30);
    const struct json_value *root = NULL;
    uint64_t begin = kontor_clock_now_ns(&kontor_clock_system);
    uint64_t end;

    CHECK(json_parse(arena, text, NULL, &root, NULL) == OK);
    end = kontor_clock_now_ns(&kontor_clock_system);
    arena_destroy(arena);
    return (double)(end - begin) / 1e6;
}

static double copy_bytes(struct str text)
{
    char *copy = malloc(text.len);
    uint64_t begin = kontor_clock_now_ns(&kontor_clock_system);
    uint64_t end;

    CHECK(copy != NULL);
    memcpy(copy, text.ptr, text.len);
    end = kontor_clock_now_ns(&kontor_clock_system);
    CHECK(copy[text.len - 1] == text.ptr[text.len - 1]);
    free(copy);
    return (double)(end - begin) / 1e6;
}

static double best_of(double (*run)(struct str), struct str text)
{
    double best = run(text);

    for (int i = 1; i < N_ROUNDS; i++) {
        double ms = run(text);

        best = ms < best ? ms : best;
    }
    return best;
}

static void print_row(const char *name, struct str text, double ms, double ours_ms)
{
    printf("| %-16s | %.1f MB | %7.1f ms | %6.0f MB/s | %.2f |\n", name, (double)text.len / 1e6, ms,
           (double)text.len / 1e3 / ms, ms / ours_ms);
}

int main(void)
{
    struct buf document;
    struct str text;
    double ours_ms;

    buf_init(&document, (size_t)1 << 28);
    make_document(&document);
    text = buf_str(&document);
    ours_ms = best_of(parse_ours, text);
    printf("| parser | document | best of %d | rate | time / ours |\n|---|---|---|---|---|\n",
           N_ROUNDS);
    print_row("base/json", text, ours_ms, ours_ms);
    print_row("jansson", text, best_of(rival_jansson_ms, text), ours_ms);
    print_row("memcpy", text, best_of(copy_bytes, text), ours_ms);
    buf_done(&document);
    return 0;
}
