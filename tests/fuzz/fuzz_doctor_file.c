/* A file of unknown origin as each kind: a verdict or a refusal, and the corrected text can be
 * judged again. */
#include "base/check.h"
#include "doctor/files.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static void judge(struct str name, struct str text)
{
    struct arena *arena = arena_create((size_t)256 << 20);
    struct report *report = report_create();
    struct files_ctx *c = NULL;
    struct error err = {0};
    struct buf out;
    uint32_t left = 0;

    CHECK(arena != NULL && report != NULL);
    buf_init(&out, (size_t)64 << 20);
    if (files_check(arena, name, text, report, &c, &err) == OK) {
        files_print(c, true, true, &out);
        buf_reset(&out);
        files_json(c, &out);
        CHECK(out.len > 0);
        (void)!files_fix(arena, name, text, &out, &left, &err);
    } else {
        CHECK(err.text[0] != '\0');
    }
    buf_done(&out);
    report_destroy(report);
    arena_destroy(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static const char *const names[] = {"a.sh",        "Dockerfile", "compose.yml",
                                        "daemon.json", "pod.yaml",   ".env"};
    struct str text = {(const char *)bytes + 1, n_bytes > 0 ? n_bytes - 1 : 0};

    if (n_bytes > 0 && n_bytes <= 20000) {
        judge(str_from_c(names[bytes[0] % ARRAY_COUNT(names)]), text);
    }
    return 0;
}
