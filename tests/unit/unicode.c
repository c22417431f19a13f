#include "text/unicode.h"
#include "support/test.h"

static uint32_t count(enum unicode_class class)
{
    uint32_t n = 0;

    for (uint32_t cp = 0; cp < UNICODE_CODE_POINTS; cp++) {
        n += unicode_class_of(cp) == class;
    }
    return n;
}

/* DerivedGeneralCategory.txt and PropList.txt of Unicode 15.0 state these totals. */
TEST(totals_of_unicode_15_0)
{
    EXPECT_EQ_U32(count(UNICODE_LETTER), 1831 + 2233 + 31 + 397 + 131612); // Lu Ll Lt Lm Lo
    EXPECT_EQ_U32(count(UNICODE_NUMBER), 680 + 236 + 915);                 // Nd Nl No
    EXPECT_EQ_U32(count(UNICODE_SPACE), 25);
}

TEST(white_space_is_exactly_the_property)
{
    static const uint32_t spaces[] = {0x09,   0x0A,   0x0B,   0x0C,   0x0D,   0x20,   0x85,
                                      0xA0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004,
                                      0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200A, 0x2028,
                                      0x2029, 0x202F, 0x205F, 0x3000};

    for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
        EXPECT_EQ_U32(unicode_class_of(spaces[i]), UNICODE_SPACE);
    }
    EXPECT_EQ_U32(unicode_class_of(0x200B), UNICODE_OTHER); // zero width space is none
    EXPECT_EQ_U32(unicode_class_of(0xFEFF), UNICODE_OTHER);
    EXPECT_EQ_U32(unicode_class_of(0x180E), UNICODE_OTHER);
    EXPECT_EQ_U32(unicode_class_of(0x1C), UNICODE_OTHER); // Python's isspace says otherwise
}

TEST(samples_of_each_class)
{
    EXPECT_EQ_U32(unicode_class_of('a'), UNICODE_LETTER);
    EXPECT_EQ_U32(unicode_class_of(0x00DF), UNICODE_LETTER);
    EXPECT_EQ_U32(unicode_class_of(0x4E2D), UNICODE_LETTER);
    EXPECT_EQ_U32(unicode_class_of(0x02B0), UNICODE_LETTER);  // Lm
    EXPECT_EQ_U32(unicode_class_of(0x323AF), UNICODE_LETTER); // last of extension H, new in 15.0
    EXPECT_EQ_U32(unicode_class_of(0x323B0), UNICODE_OTHER);
    EXPECT_EQ_U32(unicode_class_of('7'), UNICODE_NUMBER);
    EXPECT_EQ_U32(unicode_class_of(0x00BD), UNICODE_NUMBER); // one half, No
    EXPECT_EQ_U32(unicode_class_of(0x2160), UNICODE_NUMBER); // roman one, Nl
    EXPECT_EQ_U32(unicode_class_of(0x0301), UNICODE_OTHER);  // combining mark
    EXPECT_EQ_U32(unicode_class_of('_'), UNICODE_OTHER);
    EXPECT_EQ_U32(unicode_class_of(0x1F600), UNICODE_OTHER);
    EXPECT_EQ_U32(unicode_class_of(0xFFFD), UNICODE_OTHER);
    EXPECT_EQ_U32(unicode_class_of(0xD800), UNICODE_OTHER);
    EXPECT_EQ_U32(unicode_class_of(0x10FFFF), UNICODE_OTHER);
    EXPECT_EQ_U32(unicode_class_of(0x110000), UNICODE_OTHER);
    EXPECT_EQ_U32(unicode_class_of(UINT32_MAX), UNICODE_OTHER);
}

TEST(folding_to_ascii)
{
    EXPECT_EQ_INT(unicode_fold_ascii('S'), 's');
    EXPECT_EQ_INT(unicode_fold_ascii('s'), 's');
    EXPECT_EQ_INT(unicode_fold_ascii(0x17F), 's');  // long s
    EXPECT_EQ_INT(unicode_fold_ascii(0x212A), 'k'); // Kelvin sign
    EXPECT_EQ_INT(unicode_fold_ascii('@'), '\0');
    EXPECT_EQ_INT(unicode_fold_ascii('['), '\0');
    EXPECT_EQ_INT(unicode_fold_ascii('{'), '\0');
    EXPECT_EQ_INT(unicode_fold_ascii('`'), '\0');
    EXPECT_EQ_INT(unicode_fold_ascii(0x00DF), '\0');
    EXPECT_EQ_INT(unicode_fold_ascii(0xFFFD), '\0');
}
