#include "base/rng.h"
#include "support/test.h"

static void expect_block(uint64_t key, uint64_t hi, uint64_t lo, const uint32_t want[4])
{
    uint32_t words[4];

    rng_block(key, hi, lo, words);
    for (int i = 0; i < 4; i++) {
        EXPECT_EQ_U32(words[i], want[i]);
    }
}

/* The three vectors for philox4x32-10 in the kat_vectors file of Random123 1.14. */
TEST(known_answers_of_the_authors)
{
    expect_block(0, 0, 0, (const uint32_t[]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    expect_block(UINT64_MAX, UINT64_MAX, UINT64_MAX,
                 (const uint32_t[]){0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    expect_block(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88,
                 (const uint32_t[]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST(uniform_fills_the_unit_interval)
{
    double sum = 0.0;
    uint32_t low = 0;

    for (uint64_t i = 0; i < 100000; i++) {
        double u = rng_uniform(42, 1, i);

        EXPECT_TRUE(u >= 0.0 && u < 1.0);
        sum += u;
        low += u < 0.1;
    }
    EXPECT_NEAR(sum / 100000.0, 0.5, 0.005); // 5 standard deviations
    EXPECT_NEAR((double)low / 100000.0, 0.1, 0.005);
}

TEST(streams_and_positions_differ)
{
    EXPECT_NEAR(rng_uniform(1, 2, 3), rng_uniform(1, 2, 3), 0.0);
    EXPECT_TRUE(rng_uniform(1, 2, 3) != rng_uniform(1, 2, 4));
    EXPECT_TRUE(rng_uniform(1, 2, 3) != rng_uniform(1, 3, 3));
    EXPECT_TRUE(rng_uniform(1, 2, 3) != rng_uniform(2, 2, 3));
    EXPECT_TRUE(rng_from_system() != rng_from_system());
}
