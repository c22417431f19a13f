/* Key files: every key of an accepted file is found by its id and keeps the limits of keys.h. */
#include "base/check.h"
#include "store/keys.h"
#include "support/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    struct guard g = guard_copy((struct str){(const char *)bytes, n_bytes});
    struct keys *k = NULL;
    struct error err = {.status = OK};
    enum status rc = keys_parse(g.text, &k, &err);

    guard_done(&g); // nothing of the set may point into the text
    if (rc != OK) {
        CHECK(err.text[0] != '\0');
        return 0;
    }
    for (uint32_t i = 0; i < keys_count(k); i++) {
        const struct keys_key *key = keys_at(k, i);

        CHECK(keys_by_id(k, key->id) == key);
        CHECK(key->id.len > 0 && key->id.len <= KEYS_TEXT_BYTES_MAX);
        CHECK(key->n_models <= KEYS_SCOPE_MAX && key->n_pools <= KEYS_SCOPE_MAX);
        CHECK(key->ceiling <= LABEL_PRIVATE && key->label <= LABEL_PRIVATE);
        CHECK(keys_find(k, key->id) == NULL);
    }
    keys_unref(k);
    return 0;
}
