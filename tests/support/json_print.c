/* Parses documents from stdin and prints them again; tests/e2e/json_differential_test.py compares
 * with Python's json.  Protocol, both ways: a line "<word> <length>", then that many bytes.
 * Words in: doc.  Words out: ok (the print) or error (the text). */
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

#define DOCUMENT_BYTES_MAX ((size_t)64 << 20)

static void answer(const char *word, struct str s)
{
    printf("%s %zu\n", word, s.len);
    fwrite(s.ptr, 1, s.len, stdout);
    fflush(stdout);
}

static void print_document(struct str text)
{
    struct arena *arena = arena_create((size_t)1 << 30);
    const struct json_value *root = NULL;
    struct error err = {.status = OK};
    struct buf out;

    buf_init(&out, (size_t)1 << 30);
    if (json_parse(arena, text, NULL, &root, &err) == OK) {
        json_write_value(&out, root, 0);
        answer("ok", buf_str(&out));
    } else {
        answer("error", str_from_c(err.text));
    }
    buf_done(&out);
    arena_destroy(arena);
}

int main(void)
{
    char line[64];
    uint64_t len;
    char *text;

    while (fgets(line, sizeof(line), stdin) != NULL) {
        struct str word = str_trim(str_from_c(line));

        if (!str_starts(word, STR("doc ")) ||
            str_to_u64(str_slice(word, 4, word.len), &len) != OK || len > DOCUMENT_BYTES_MAX) {
            return 2;
        }
        text = malloc((size_t)len + 1);
        if (text == NULL || fread(text, 1, (size_t)len, stdin) != (size_t)len) {
            free(text);
            return 2;
        }
        print_document((struct str){text, (size_t)len});
        free(text);
    }
    return 0;
}
