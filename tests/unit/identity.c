#include "base/arena.h"
#include "base/base64url.h"
#include "gateway/identity.h"
#include "gateway/jwt.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SECRET "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define NOW 1800000000

/* One checker, one request at a time. */
struct bench {
    struct temp_folder folder;
    char path[512];
    struct settings settings;
    struct identity *id;
    struct arena *arena;
    struct identity_caller caller;
    struct chat_failure failure;
};

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

static void write_keys(struct bench *b, const char *presented, const char *more)
{
    char text[2048];
    char hex[65];

    hash_hex(presented, hex);
    snprintf(text, sizeof(text),
             "{\"format\": \"kontor-keys-1\", \"secret\": \"" SECRET "\", \"keys\": [{\"id\": "
             "\"k_1\", \"secrets\": [{\"hash\": \"%s\"}]%s}]}",
             hex, more);
    temp_folder_text(&b->folder, "fresh.json", text);
    {
        char from[512];

        temp_folder_path(&b->folder, "fresh.json", from);
        EXPECT_TRUE(rename(from, b->path) == 0);
    }
}

static void open_bench(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    temp_folder_open(&b->folder);
    temp_folder_path(&b->folder, "keys.json", b->path);
    b->arena = arena_create(1 << 20);
    EXPECT_TRUE(b->arena != NULL);
    b->settings.default_label = LABEL_CONFIDENTIAL;
    b->settings.keys_file = str_from_c(b->path);
}

static void start(struct bench *b, const struct str *literals, uint32_t n)
{
    struct error err = {0};
    struct identity_options o = {.settings = &b->settings,
                                 .literal_keys = literals,
                                 .n_literal_keys = n};

    if (identity_create(&o, &b->id, &err) != OK) {
        FAIL("%s", err.text);
    }
}

static void close_bench(struct bench *b)
{
    identity_destroy(b->id);
    arena_destroy(b->arena);
    temp_folder_close(&b->folder);
}

static enum status check_fields(struct bench *b, struct http_field *fields, uint32_t n)
{
    struct http_head head = {.fields = fields, .n_fields = n};

    memset(&b->failure, 0, sizeof(b->failure));
    return identity_check(b->id, &head, b->arena, NOW, &b->caller, &b->failure);
}

static enum status check(struct bench *b, const char *name, const char *value)
{
    struct http_field f = {str_from_c(name), str_from_c(value)};

    return check_fields(b, &f, 1);
}

static void expect_denied(struct bench *b, const char *value, const char *says)
{
    EXPECT_STATUS(check(b, "Authorization", value), E_DENIED);
    EXPECT_EQ_INT(b->failure.http_status, 401);
    EXPECT_EQ_C_STR(b->failure.type, "invalid_request_error");
    EXPECT_CONTAINS(b->failure.message, says);
}

TEST(nobody_is_asked_without_keys)
{
    struct bench b;

    open_bench(&b);
    b.settings.keys_file = STR("");
    start(&b, NULL, 0);
    EXPECT_FALSE(identity_asks(b.id));
    EXPECT_OK(check(&b, "Authorization", "Bearer anything"));
    EXPECT_EQ_STR(b.caller.key_id, STR(""));
    EXPECT_EQ_INT(b.caller.label, LABEL_CONFIDENTIAL);
    EXPECT_EQ_INT(b.caller.ceiling, LABEL_PRIVATE);
    close_bench(&b);
}

TEST(an_empty_key_file_lets_nobody_in)
{
    struct bench b;

    open_bench(&b);
    start(&b, NULL, 0);
    EXPECT_TRUE(identity_asks(b.id));
    expect_denied(&b, "Bearer some-key-that-is-long", "Incorrect API key provided: some-key");
    close_bench(&b);
}

TEST(a_stored_key_brings_its_scope)
{
    struct bench b;

    open_bench(&b);
    write_keys(&b, "open-sesame",
               ", \"team\": \"risk\", \"label\": \"internal\", \"ceiling\": \"confidential\", "
               "\"models\": [\"m\"], \"pools\": [\"p\", \"q\"]");
    start(&b, NULL, 0);
    EXPECT_OK(check(&b, "authorization", "bearer  open-sesame"));
    EXPECT_EQ_STR(b.caller.key_id, STR("k_1"));
    EXPECT_EQ_STR(b.caller.team, STR("risk"));
    EXPECT_EQ_INT(b.caller.label, LABEL_INTERNAL);
    EXPECT_EQ_INT(b.caller.ceiling, LABEL_CONFIDENTIAL);
    EXPECT_EQ_U32(b.caller.n_models, 1);
    EXPECT_EQ_U32(b.caller.n_pools, 2);
    EXPECT_EQ_STR(b.caller.pools[1], STR("q"));
    EXPECT_OK(check(&b, "X-API-Key", "open-sesame"));
    expect_denied(&b, "Bearer open-sesam", "Incorrect");
    close_bench(&b);
}

TEST(a_key_without_label_has_the_default)
{
    struct bench b;

    open_bench(&b);
    write_keys(&b, "k", "");
    start(&b, NULL, 0);
    EXPECT_OK(check(&b, "Authorization", "Bearer k"));
    EXPECT_EQ_INT(b.caller.label, LABEL_CONFIDENTIAL);
    close_bench(&b);
}

TEST(ended_keys_are_named_as_such)
{
    struct bench b;

    open_bench(&b);
    write_keys(&b, "a-key-that-is-long", ", \"expires\": 1800000000");
    start(&b, NULL, 0);
    expect_denied(&b, "Bearer a-key-that-is-long", "(id k_1) expired on 2027-01-15 08:00 UTC");
    expect_denied(&b, "Bearer a-key-that-is-long", "a-key-th******long");
    close_bench(&b);
    open_bench(&b);
    write_keys(&b, "k", ", \"revoked\": true");
    start(&b, NULL, 0);
    expect_denied(&b, "Bearer k", "was revoked");
    close_bench(&b);
    open_bench(&b);
    write_keys(&b, "k", ", \"expires\": 1800000001");
    start(&b, NULL, 0);
    EXPECT_OK(check(&b, "Authorization", "Bearer k"));
    close_bench(&b);
}

TEST(a_revocation_is_seen_while_running)
{
    struct bench b;
    enum status rc = OK;

    open_bench(&b);
    write_keys(&b, "k", "");
    start(&b, NULL, 0);
    EXPECT_OK(check(&b, "Authorization", "Bearer k"));
    write_keys(&b, "k", ", \"revoked\": true");
    for (int i = 0; i < 1000 && rc == OK; i++) { // it looks every 250 ms; 10 s is a sick machine
        usleep(10000);
        rc = check(&b, "Authorization", "Bearer k");
    }
    EXPECT_STATUS(rc, E_DENIED);
    temp_folder_text(&b.folder, "keys.json", "damaged");
    usleep(600000);
    expect_denied(&b, "Bearer k", "was revoked"); // the last good set is in force
    close_bench(&b);
}

/* A reload: the new checker goes on with what the old one read, and outlives it. */
TEST(a_reload_shares_what_was_read)
{
    struct identity_options o = {.settings = NULL};
    struct identity *other = NULL;
    struct error err = {0};
    struct bench b;

    open_bench(&b);
    write_keys(&b, "k", "");
    start(&b, NULL, 0);
    o.settings = &b.settings;
    o.before = b.id;
    EXPECT_OK(check(&b, "Authorization", "Bearer k"));
    EXPECT_OK(identity_create(&o, &other, &err));
    EXPECT_TRUE(identity_keys(other) == identity_keys(b.id) && identity_keys(other) != NULL);
    identity_destroy(b.id);
    b.id = other;
    EXPECT_OK(check(&b, "Authorization", "Bearer k"));
    b.settings.keys_file = STR(""); // another configuration: no key file
    o.before = b.id;
    EXPECT_OK(identity_create(&o, &other, &err));
    EXPECT_TRUE(identity_keys(other) == NULL && !identity_asks(other) && identity_asks(b.id));
    identity_destroy(other);
    close_bench(&b);
}

TEST(literal_keys_have_numbers)
{
    const struct str literals[] = {STR("first"), STR("second")};
    struct bench b;

    open_bench(&b);
    b.settings.keys_file = STR("");
    b.settings.auth_keys = &(struct str){"third", 5};
    b.settings.n_auth_keys = 1;
    start(&b, literals, 2);
    EXPECT_OK(check(&b, "Authorization", "Bearer second"));
    EXPECT_EQ_STR(b.caller.key_id, STR("literal-2"));
    EXPECT_OK(check(&b, "Authorization", "Bearer third"));
    EXPECT_EQ_STR(b.caller.key_id, STR("literal-3"));
    expect_denied(&b, "Bearer fourth", "*****");
    close_bench(&b);
}

TEST(an_empty_literal_key_is_refused_at_start)
{
    const struct str blank = STR(" ");
    struct identity_options o = {.literal_keys = &blank, .n_literal_keys = 1};
    struct identity *id = NULL;
    struct error err = {0};

    EXPECT_STATUS(identity_create(&o, &id, &err), E_INVALID);
}

TEST(header_and_prefix_can_be_chosen)
{
    const struct str literal = STR("the-key");
    struct bench b;

    open_bench(&b);
    b.settings.keys_file = STR("");
    b.settings.auth_header = STR("X-Token");
    b.settings.auth_prefix = STR("Key");
    start(&b, &literal, 1);
    EXPECT_OK(check(&b, "x-token", "key the-key"));
    EXPECT_OK(check(&b, "x-api-key", "the-key"));
    expect_denied(&b, "Bearer the-key", "X-Token: Key YOUR_KEY");
    close_bench(&b);
    open_bench(&b);
    b.settings.keys_file = STR("");
    b.settings.auth_header = STR("X-Token");
    start(&b, &literal, 1);
    EXPECT_OK(check(&b, "x-token", "the-key"));
    expect_denied(&b, "x", "X-Token: YOUR_KEY");
    close_bench(&b);
}

TEST(the_form_of_a_refused_key_is_explained)
{
    struct bench b;

    open_bench(&b);
    start(&b, NULL, 0);
    expect_denied(&b, "Bearer \"sk-1234\"", "quotes around it");
    expect_denied(&b, "Bearer 'sk-1234'", "quotes around it");
    expect_denied(&b, "Bearer sk-12 34", "blank inside");
    expect_denied(&b, "Bearer Bearer sk-1234", "sent twice");
    expect_denied(&b, "Bearer \xe2\x80\x9csk-1234\xe2\x80\x9d", "curly quotes");
    expect_denied(&b, "Bearer $OPENAI_API_KEY", "place-holder");
    expect_denied(&b, "Bearer sk-kontor-123", "checksum");
    expect_denied(&b, "sk-1234", "without the word Bearer");
    expect_denied(&b, "Bearer", "You didn't provide an API key.");
    EXPECT_TRUE(b.failure.code == NULL);
    expect_denied(&b, "Bearer sk-1234", "Incorrect API key provided: *******.");
    EXPECT_EQ_C_STR(b.failure.code, "invalid_api_key");
    close_bench(&b);
}

TEST(a_field_that_is_sent_twice_is_refused)
{
    const struct str literal = STR("k");
    struct http_field two[] = {{STR("Authorization"), STR("Bearer k")},
                               {STR("authorization"), STR("Bearer x")}};
    struct bench b;

    open_bench(&b);
    start(&b, &literal, 1);
    EXPECT_STATUS(check_fields(&b, two, 2), E_DENIED);
    EXPECT_CONTAINS(b.failure.message, "more than one");
    EXPECT_OK(check_fields(&b, two, 1));
    close_bench(&b);
}

/* --- tokens --- */

#define JWT_SECRET "fedcba9876543210fedcba9876543210"

static void expect_token(struct bench *b, const char *api_key, enum status want, const char *says)
{
    struct buf value;

    buf_init(&value, 65536);
    buf_append_c(&value, "Bearer ");
    jwt_mint(&value, str_from_c(JWT_SECRET), str_from_c(api_key), NOW, NOW + 60);
    EXPECT_STATUS(check(b, "Authorization", buf_c(&value)), want);
    if (want == OK) {
        EXPECT_EQ_STR(b->caller.key_id, str_from_c(says));
    } else {
        EXPECT_EQ_INT(b->failure.http_status, 401);
        EXPECT_CONTAINS(b->failure.message, says);
    }
    buf_done(&value);
}

TEST(our_tokens_stand_for_a_key)
{
    const struct str literal = STR("literal-key-text");
    struct bench b;

    open_bench(&b);
    write_keys(&b, "key-text", ", \"label\": \"internal\"");
    b.settings.jwt_secret = STR(JWT_SECRET);
    start(&b, &literal, 1);
    expect_token(&b, "k_1", OK, "k_1");
    EXPECT_EQ_INT(b.caller.label, LABEL_INTERNAL);
    expect_token(&b, "key-text", OK, "k_1");
    expect_token(&b, "literal-key-text", OK, "literal-1");
    expect_token(&b, "literal-1", E_DENIED, "not known here");
    expect_token(&b, "k_2", E_DENIED, "not known here");
    expect_token(&b, "", E_DENIED, "names no key");
    close_bench(&b);
    open_bench(&b);
    write_keys(&b, "key-text", ", \"revoked\": true");
    b.settings.jwt_secret = STR(JWT_SECRET);
    start(&b, NULL, 0);
    expect_token(&b, "k_1", E_DENIED, "was revoked");
    close_bench(&b);
    open_bench(&b);
    write_keys(&b, "key-text", "");
    start(&b, NULL, 0);
    expect_token(&b, "k_1", E_DENIED, "takes keys only");
    close_bench(&b);
}

TEST(a_short_secret_is_refused_at_start)
{
    const struct settings s = {.jwt_secret = STR("short")};
    const struct identity_options o = {.settings = &s};
    struct identity *id = NULL;
    struct error err = {0};

    EXPECT_STATUS(identity_create(&o, &id, &err), E_INVALID);
    EXPECT_CONTAINS(err.text, "openssl rand");
}

/* A login service's token, signed with a fresh Ed25519 key. */
static void sign(EVP_PKEY *key, const char *claims, struct buf *value)
{
    static const char header[] = "{\"alg\":\"EdDSA\"}";
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t signature[64];
    size_t n = sizeof(signature);

    buf_init(value, 65536);
    buf_append_c(value, "Bearer ");
    base64url_encode(value, header, sizeof(header) - 1);
    buf_append_byte(value, '.');
    base64url_encode(value, claims, strlen(claims));
    EXPECT_TRUE(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1);
    EXPECT_TRUE(
        EVP_DigestSign(ctx, signature, &n, (const uint8_t *)value->ptr + 7, value->len - 7) == 1);
    EVP_MD_CTX_free(ctx);
    buf_append_byte(value, '.');
    base64url_encode(value, signature, n);
}

static void expect_subject(struct bench *b, EVP_PKEY *key, const char *claims, const char *says)
{
    struct buf value;
    enum status rc;

    sign(key, claims, &value);
    rc = check(b, "Authorization", buf_c(&value));
    buf_done(&value);
    if (rc == OK) {
        EXPECT_EQ_STR(b->caller.key_id, str_from_c(says));
    } else {
        EXPECT_STATUS(rc, E_DENIED);
        EXPECT_CONTAINS(b->failure.message, says);
    }
}

TEST(tokens_of_a_login_service_are_their_own_callers)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    char path[512];
    uint8_t raw[32];
    size_t n = sizeof(raw);
    struct bench b;
    struct buf set;

    open_bench(&b);
    write_keys(&b, "key-text", "");
    EXPECT_TRUE(key != NULL && EVP_PKEY_get_raw_public_key(key, raw, &n) == 1);
    buf_init(&set, 65536);
    buf_append_c(&set, "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"");
    base64url_encode(&set, raw, n);
    buf_append_c(&set, "\"}]}");
    temp_folder_text(&b.folder, "jwks.json", buf_c(&set));
    temp_folder_path(&b.folder, "jwks.json", path);
    b.settings.jwks_file = str_from_c(path);
    b.settings.jwt_audience = STR("a");
    start(&b, NULL, 0);
#define CLAIMS "\"exp\":1800000060,\"aud\":\"a\""
    expect_subject(&b, key, "{" CLAIMS ",\"sub\":\"u\",\"kontor_label\":\"public\"}", "jwt:u");
    EXPECT_EQ_INT(b.caller.label, LABEL_PUBLIC);
    EXPECT_EQ_INT(b.caller.ceiling, LABEL_PRIVATE);
    expect_subject(&b, key, "{" CLAIMS ",\"sub\":\"u\",\"api_key\":\"k_1\"}", "jwt:u");
    EXPECT_EQ_INT(b.caller.label, LABEL_CONFIDENTIAL); // the default
    expect_subject(&b, key, "{" CLAIMS ",\"api_key\":\"k_1\"}", "(sub)");
    expect_subject(&b, key, "{" CLAIMS ",\"sub\":\"a b\"}", "(sub)");
    expect_subject(&b, key, "{" CLAIMS ",\"sub\":\"u\",\"kontor_label\":\"x\"}", "kontor_label");
    expect_subject(&b, key, "{" CLAIMS ",\"sub\":\"u\",\"kontor_label\":null}", "kontor_label");
    expect_subject(&b, key, "{" CLAIMS ",\"sub\":\"u\",\"kontor_team\":7}", "kontor_team");
    expect_subject(&b, key, "{" CLAIMS ",\"sub\":\"u\",\"kontor_pools\":[]}", "kontor_pools");
    expect_subject(&b, key, "{" CLAIMS ",\"sub\":\"u\",\"kontor_pools\":\"p\"}", "kontor_pools");
    expect_subject(&b, key, "{\"exp\":1800000060,\"sub\":\"u\"}", "(aud)");
    EXPECT_STATUS(check(&b, "Authorization", "Bearer key-text"), OK); // keys beside tokens
    close_bench(&b);
    buf_done(&set);
    EVP_PKEY_free(key);
}
