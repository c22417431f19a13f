#include "base/buf.h"
#include "base/clock.h"
#include "store/keys.h"
#include "support/guard.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <sys/stat.h>

#define SECRET "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

/* The digest as the file holds it, made here a second time. */
static void hash_hex(const char *presented, char ret_hex[65])
{
    uint8_t secret[32];
    uint8_t digest[32];
    unsigned n = 0;

    for (uint8_t i = 0; i < 32; i++) {
        secret[i] = i;
    }
    EXPECT_TRUE(HMAC(EVP_sha256(), secret, 32, (const uint8_t *)presented,
                     str_from_c(presented).len, digest, &n) != NULL);
    for (size_t i = 0; i < 32; i++) {
        snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
    }
}

static void begin_file(struct buf *b)
{
    buf_init(b, KEYS_FILE_BYTES_MAX);
    buf_append_c(b, "{\"format\": \"kontor-keys-1\", \"secret\": \"" SECRET "\", \"keys\": [\n");
}

static void add_key(struct buf *b, const char *id, const char *presented, const char *more)
{
    char hex[65];

    hash_hex(presented, hex);
    buf_printf(b, "%s{\"id\": \"%s\", \"secrets\": [{\"hash\": \"%s\"}]%s}\n",
               b->ptr[b->len - 2] == '[' ? "" : ",", id, hex, more);
}

static struct keys *parse(struct buf *b)
{
    struct keys *k = NULL;
    struct error err = {0};
    enum status rc;

    buf_append_c(b, "]}\n");
    rc = keys_parse(buf_str(b), &k, &err);
    if (rc != OK) {
        FAIL("%s", err.text);
    }
    buf_done(b);
    return k;
}

TEST(a_key_is_found_by_text_and_by_id)
{
    struct buf b;
    struct keys *k;
    const struct keys_key *key;

    begin_file(&b);
    add_key(&b, "k_1", "one", "");
    add_key(&b, "k_2", "two",
            ", \"name\": \"n\", \"team\": \"t\", \"models\": [\"m1\", \"m2\"], \"pools\": [\"p\"], "
            "\"ceiling\": \"internal\", \"label\": \"public\", \"created\": 5, \"expires\": 6, "
            "\"revoked\": true, \"limits\": {\"requests_per_minute\": 7, \"tokens_per_minute\": 8, "
            "\"parallel\": 9, \"money_nano\": 10, \"period\": \"month\"}");
    k = parse(&b);
    EXPECT_EQ_U32(keys_count(k), 2);
    key = keys_find(k, STR("one"));
    EXPECT_TRUE(key != NULL);
    EXPECT_EQ_STR(key->id, STR("k_1"));
    EXPECT_EQ_INT(key->ceiling, LABEL_PRIVATE);
    EXPECT_FALSE(key->has_label);
    EXPECT_EQ_STR(key->limits.subject, STR("key:k_1"));
    key = keys_find(k, STR("two"));
    EXPECT_TRUE(key != NULL && key == keys_by_id(k, STR("k_2")) && key == keys_at(k, 1));
    EXPECT_EQ_STR(key->name, STR("n"));
    EXPECT_EQ_STR(key->team, STR("t"));
    EXPECT_EQ_U32(key->n_models, 2);
    EXPECT_EQ_STR(key->models[1], STR("m2"));
    EXPECT_EQ_U32(key->n_pools, 1);
    EXPECT_EQ_INT(key->ceiling, LABEL_INTERNAL);
    EXPECT_TRUE(key->has_label && key->label == LABEL_PUBLIC);
    EXPECT_EQ_I64(key->created_s, 5);
    EXPECT_EQ_I64(key->expires_s, 6);
    EXPECT_TRUE(key->revoked);
    EXPECT_EQ_U64(key->limits.requests_per_minute, 7);
    EXPECT_EQ_U64(key->limits.tokens_per_minute, 8);
    EXPECT_EQ_U32(key->limits.parallel, 9);
    EXPECT_EQ_I64(key->limits.money_nano, 10);
    EXPECT_EQ_INT(key->limits.period, LIMITS_MONTH);
    EXPECT_TRUE(keys_find(k, STR("on")) == NULL && keys_find(k, STR("onee")) == NULL);
    EXPECT_TRUE(keys_find(k, STR("")) == NULL && keys_by_id(k, STR("k_3")) == NULL);
    EXPECT_TRUE(keys_find(k, STR("k_1")) == NULL);
    keys_unref(keys_ref(k));
    keys_unref(k);
}

TEST(an_older_secret_ends_with_its_overlap)
{
    char new_hex[65];
    char old_hex[65];
    struct buf b;
    struct keys *k;
    const struct keys_key *key;

    hash_hex("new", new_hex);
    hash_hex("old", old_hex);
    begin_file(&b);
    buf_printf(&b,
               "{\"id\": \"k\", \"expires\": 900, \"secrets\": [{\"hash\": \"%s\"}, {\"hash\": "
               "\"%s\", \"ends\": 500}]}",
               new_hex, old_hex);
    k = parse(&b);
    key = keys_find(k, STR("new"));
    EXPECT_TRUE(key != NULL && !key->rotated && key->expires_s == 900);
    key = keys_find(k, STR("old"));
    EXPECT_TRUE(key != NULL && key->rotated && key->expires_s == 500);
    EXPECT_EQ_STR(key->id, STR("k"));
    EXPECT_EQ_I64(keys_by_id(k, STR("k"))->expires_s, 900);
    keys_unref(k);
}

static void expect_refused(const char *text, const char *says)
{
    struct error err = {0};
    struct keys *k = NULL;
    struct guard g = guard_copy(str_from_c(text));

    EXPECT_STATUS(keys_parse(g.text, &k, &err), E_INVALID);
    EXPECT_CONTAINS(err.text, says);
    guard_done(&g);
}

#define HEAD "{\"format\": \"kontor-keys-1\", \"secret\": \"" SECRET "\",\n\"keys\": ["
#define SECRETS ", \"secrets\": [{\"hash\": \"" SECRET "\"}]"

TEST(what_is_wrong_is_named_with_its_line)
{
    expect_refused("", "not empty");
    expect_refused("{}", "\"format\" must be");
    expect_refused("[]", "must be an object");
    expect_refused("{\"format\": \"kontor-keys-2\"}", "\"format\" must be");
    expect_refused("{\"format\": \"kontor-keys-1\", \"keys\": []}", "\"secret\" must be 64");
    expect_refused(HEAD "\n{\"id\": \"a\"}]}", "line 3: \"secrets\"");
    expect_refused(HEAD "{\"id\": \"\"" SECRETS "}]}", "line 2: \"id\"");
    expect_refused(HEAD "{\"id\": \"a\", \"model\": []" SECRETS "}]}", "\"model\"");
    expect_refused(HEAD "{\"id\": \"a\", \"label\": \"secret\"" SECRETS "}]}", "\"label\" must");
    expect_refused(HEAD "{\"id\": \"a\", \"ceiling\": null" SECRETS "}]}", "\"ceiling\" must");
    expect_refused(HEAD "{\"id\": \"a\", \"revoked\": 1" SECRETS "}]}", "true or false");
    expect_refused(HEAD "{\"id\": \"a\", \"expires\": -1" SECRETS "}]}", "seconds");
    expect_refused(HEAD "{\"id\": \"a\", \"limits\": {\"parallel\": 5000000000}" SECRETS "}]}",
                   "whole number");
    expect_refused(HEAD "{\"id\": \"a\", \"limits\": {\"period\": \"week\"}" SECRETS "}]}",
                   "day, month or total");
    expect_refused(HEAD "{\"id\": \"a\"" SECRETS "},{\"id\": \"a\"" SECRETS "}]}", "twice");
    expect_refused(HEAD "{\"id\": \"a\"" SECRETS "},{\"id\": \"b\"" SECRETS "}]}", "twice");
    expect_refused(HEAD "{\"id\": \"a\", \"id\": \"b\"" SECRETS "}]}", "appears twice");
    expect_refused(HEAD "{\"id\": \"a\", \"secrets\": [{\"hash\": \"00\"}]}]}", "64 hex digits");
}

TEST(a_missing_file_is_an_empty_set)
{
    struct temp_folder f;
    char path[512];
    struct keys *k = NULL;
    struct error err = {0};

    temp_folder_open(&f);
    temp_folder_path(&f, "keys.json", path);
    EXPECT_OK(keys_load(path, &k, &err));
    EXPECT_EQ_U32(keys_count(k), 0);
    EXPECT_TRUE(keys_find(k, STR("x")) == NULL && keys_by_id(k, STR("x")) == NULL);
    keys_unref(k);
    EXPECT_STATUS(keys_load(f.path, &k, &err), E_INVALID);
    temp_folder_text(&f, "keys.json", HEAD "]}");
    EXPECT_TRUE(chmod(path, 0622) == 0);
    EXPECT_STATUS(keys_load(path, &k, &err), E_INVALID);
    EXPECT_CONTAINS(err.text, "chmod 0600");
    EXPECT_TRUE(chmod(path, 0600) == 0);
    EXPECT_OK(keys_load(path, &k, &err));
    keys_unref(k);
    temp_folder_close(&f);
}

TEST(the_checksum_tells_cut_keys)
{
    EXPECT_EQ_INT(keys_shape(STR("sk-other")), KEYS_SHAPE_OTHER);
    EXPECT_EQ_INT(keys_shape(STR("sk-kontor-")), KEYS_SHAPE_BROKEN);
    EXPECT_EQ_INT(keys_shape(STR("sk-kontor-0000000000000000000000000000000000000000000AAAAAA")),
                  KEYS_SHAPE_BROKEN);
}

/* All of a full file are found; the table does not degenerate (a scan would take minutes). */
TEST(a_hundred_thousand_keys)
{
    struct buf b;
    struct keys *k;
    char text[32];
    char id[32];

    begin_file(&b);
    for (uint32_t i = 0; i < KEYS_MAX; i++) {
        snprintf(text, sizeof(text), "text-%u", i);
        snprintf(id, sizeof(id), "k_%u", i);
        add_key(&b, id, text, "");
    }
    k = parse(&b);
    EXPECT_EQ_U32(keys_count(k), KEYS_MAX);
    for (uint32_t i = 0; i < KEYS_MAX; i++) {
        const struct keys_key *key;

        snprintf(text, sizeof(text), "text-%u", i);
        snprintf(id, sizeof(id), "k_%u", i);
        key = keys_find(k, str_from_c(text));
        EXPECT_TRUE(key != NULL && key == keys_by_id(k, str_from_c(id)));
    }
    EXPECT_TRUE(keys_find(k, STR("text-100000")) == NULL);
    keys_unref(k);
}
