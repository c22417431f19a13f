#include "base/base64url.h"
#include "support/guard.h"
#include "support/test.h"

#include <string.h>

static enum status decode(const char *text, char *ret_text)
{
    struct guard g = guard_copy(str_from_c(text));
    uint8_t out[64];
    size_t n = 0;
    enum status rc = base64url_decode(g.text, out, &n);

    guard_done(&g);
    if (rc == OK) {
        EXPECT_TRUE(n == base64url_bytes(strlen(text)));
        memcpy(ret_text, out, n);
        ret_text[n] = '\0';
    }
    return rc;
}

TEST(vectors_of_the_standard_without_padding)
{
    static const char *const pairs[][2] =
        {{"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
         {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"?>", "Pz4"},
         {"~~~?", "fn5-Pw"}};

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char text[65] = "";
        struct buf b;

        buf_init(&b, 100);
        base64url_encode(&b, pairs[i][0], strlen(pairs[i][0]));
        EXPECT_EQ_STR(buf_str(&b), str_from_c(pairs[i][1]));
        EXPECT_OK(decode(pairs[i][1], text));
        EXPECT_EQ_C_STR(text, pairs[i][0]);
        buf_done(&b);
    }
}

TEST(one_text_for_one_string_of_bytes)
{
    static const char *const refused[] = {"Z",      "Zg==",   "Zg=",  "Zh",
                                          "Zm9",    "Zm9vY",  "Zm 8", "Zm8\n",
                                          "fn5+Pw", "fn5/Pw", "Zm8.", "\xc3\xa4\xc3\xa4"};
    char text[65];

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (decode(refused[i], text) != E_INVALID) {
            FAIL("%s is taken", refused[i]);
        }
    }
}
