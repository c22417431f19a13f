#include "base/hash.h"
#include "support/guard.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

static void expect_sha256(struct str s, const char *want)
{
    uint8_t digest[HASH_SHA256_BYTES];
    char hex[2 * HASH_SHA256_BYTES + 1];

    hash_sha256(s, digest);
    for (size_t i = 0; i < sizeof(digest); i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    EXPECT_EQ_C_STR(hex, want);
}

TEST(sha256_of_the_standard)
{
    expect_sha256(STR("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_sha256((struct str){NULL, 0},
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(every_length_reads_its_own_bytes_only)
{
    char text[100];

    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)i;
    }
    for (size_t len = 0; len <= sizeof(text); len++) {
        struct guard g = guard_copy((struct str){text, len});
        uint64_t h = hash_bytes(g.text.ptr, len, 1);

        EXPECT_EQ_U64(h, hash_bytes(text, len, 1));
        EXPECT_TRUE(h != hash_bytes(text, len, 2));
        guard_done(&g);
    }
}

/* Each byte matters at every length. */
TEST(one_changed_byte_changes_the_hash)
{
    char text[64] = {0};

    for (size_t len = 1; len <= sizeof(text); len++) {
        uint64_t plain = hash_bytes(text, len, 9);

        EXPECT_TRUE(plain != hash_bytes(text, len - 1, 9));
        for (size_t at = 0; at < len; at++) {
            text[at] = 1;
            EXPECT_TRUE(hash_bytes(text, len, 9) != plain);
            text[at] = 0;
        }
    }
}

TEST(low_bits_of_counted_keys_spread)
{
    uint32_t used[1024] = {0};
    uint32_t n_empty = 0;

    for (uint64_t i = 0; i < 1024; i++) {
        char key[8];
        int len = snprintf(key, sizeof(key), "k%u", (unsigned)i);

        used[hash_bytes(key, (size_t)len, 3) % 1024]++;
    }
    for (int i = 0; i < 1024; i++) {
        n_empty += used[i] == 0;
    }
    EXPECT_NEAR((double)n_empty, 1024.0 / 2.718, 60.0); // as balls in bins
    EXPECT_TRUE(hash_u64(1, 0) != hash_u64(2, 0));
    EXPECT_TRUE(hash_u64(1, 0) != hash_u64(1, 1));
    EXPECT_EQ_U64(hash_process_seed(), hash_process_seed());
}

static void expect_hex(const uint8_t digest[HASH_SHA256_BYTES], const char *want)
{
    char hex[2 * HASH_SHA256_BYTES + 1];

    for (size_t i = 0; i < HASH_SHA256_BYTES; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
    EXPECT_EQ_C_STR(hex, want);
}

TEST(sha256_and_hmac_of_known_texts)
{
    uint8_t key[HASH_SHA256_BYTES] = {0}; // RFC 4231 case 1: 20 bytes 0x0b, which zeros lengthen
    uint8_t digest[HASH_SHA256_BYTES];

    hash_sha256(STR("abc"), digest);
    expect_hex(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    hash_sha256((struct str){NULL, 0}, digest);
    expect_hex(digest, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    memset(key, 0x0b, 20);
    hash_hmac_sha256(key, STR("Hi There"), digest);
    expect_hex(digest, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
}
