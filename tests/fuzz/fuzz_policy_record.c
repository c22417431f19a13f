/* Records of decisions: what is read has names and labels in range, and can be decided on. */
#include "base/check.h"
#include "gateway/policy.h"
#include "support/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    static const struct settings settings = {.default_label = LABEL_PRIVATE};
    struct guard g = guard_copy((struct str){(const char *)bytes, n_bytes});
    struct arena *arena = arena_create(16 << 20);
    struct policy_decision d;
    struct policy_record r;
    struct error err = {.status = OK};
    enum status rc;

    CHECK(arena != NULL);
    rc = policy_read_record(g.text, arena, &r, &err);
    guard_done(&g); // nothing of the record may point into the text
    if (rc == OK) {
        CHECK(r.n_pools <= SETTINGS_POOLS_MAX);
        CHECK(r.facts.label <= LABEL_PRIVATE && r.facts.ceiling <= LABEL_PRIVATE);
        CHECK((uint32_t)r.verdict < POLICY_VERDICT_COUNT);
        policy_decide(&settings, &r.facts, &d);
        CHECK(d.verdict == POLICY_UNKNOWN_MODEL);
    } else {
        CHECK(err.text[0] != '\0');
    }
    arena_destroy(arena);
    return 0;
}
