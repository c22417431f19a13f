#include "base/check.h"
#include "base/label.h"
#include "base/utf8.h"
#include "support/test.h"

#include <string.h>

TEST(errors_carry_status_and_text)
{
    struct error err;

    EXPECT_STATUS(error_set(&err, E_LIMIT, "%d tokens", 7), E_LIMIT);
    EXPECT_EQ_C_STR(err.text, "7 tokens");
    EXPECT_STATUS(error_prefix(&err, E_LIMIT, "file %s", "x"), E_LIMIT);
    EXPECT_EQ_C_STR(err.text, "file x: 7 tokens");
    EXPECT_STATUS(error_set(NULL, E_IO, "nobody listens"), E_IO);
    EXPECT_STATUS(error_prefix(NULL, E_IO, "nobody listens"), E_IO);
}

TEST(long_texts_are_cut_between_characters)
{
    struct error err;
    char text[2 * ERROR_TEXT_MAX];

    for (size_t begin = 0; begin < 4; begin++) {
        memset(text, 'a', sizeof(text));
        for (size_t i = begin; i + 4 < sizeof(text); i += 4) {
            memcpy(text + i, "\xF0\x9F\x98\x80", 4);
        }
        text[sizeof(text) - 1] = '\0';
        error_set(&err, E_IO, "%s", text);
        EXPECT_TRUE(strlen(err.text) >= ERROR_TEXT_MAX - 5);
        EXPECT_TRUE(utf8_valid(str_from_c(err.text)));
        error_prefix(&err, E_IO, "%s", "prefix");
        EXPECT_TRUE(utf8_valid(str_from_c(err.text)));
    }
}

TEST(every_status_has_a_name)
{
    for (int s = E_BUSY; s <= OK; s++) {
        EXPECT_TRUE(strcmp(status_name((enum status)s), "unknown") != 0);
    }
}

TEST(labels_go_both_ways)
{
    enum label l = LABEL_PUBLIC;

    for (int i = LABEL_PUBLIC; i <= LABEL_PRIVATE; i++) {
        EXPECT_OK(label_parse(str_from_c(label_name((enum label)i)), &l));
        EXPECT_EQ_INT((int)l, i);
    }
    EXPECT_STATUS(label_parse(STR("Private"), &l), E_INVALID);
    EXPECT_STATUS(label_parse(STR(""), &l), E_INVALID);
}
