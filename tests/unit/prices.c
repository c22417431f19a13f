#include "store/prices.h"
#include "support/test.h"

#include <string.h>

#define ROW(p, m, day, in, out)                                                                    \
    {                                                                                              \
        .provider = {p, sizeof(p) - 1}, .model = {m, sizeof(m) - 1}, .currency = {"USD", 3},       \
        .input_nano = (in), .cached_nano = -1, .output_nano = (out), .reasoning_nano = -1,         \
        .valid_from = {day, 10},                                                                   \
        .source =                                                                                  \
        { "test",                                                                                  \
          4 }                                                                                      \
    }

static const struct prices_row rows[] = {
    ROW("cloud", "*", "2026-01-01", 10, 20),  ROW("cloud", "m1", "2026-01-01", 100, 200),
    ROW("cloud", "m1", "2026-03-01", 50, 60), ROW("cloud", "m1", "2026-02-01", 70, 80),
    ROW("own", "m1", "2026-02-01", 1, 2),
};
static const struct prices table = {rows, 5, 0};

static int64_t input_of(struct str provider, struct str model, struct str day)
{
    const struct prices_row *row = prices_find(&table, provider, model, day);

    return row == NULL ? -1 : row->input_nano;
}

TEST(newest_row_that_was_valid_on_the_day)
{
    EXPECT_EQ_I64(input_of(STR("cloud"), STR("m1"), STR("2026-01-31")), 100);
    EXPECT_EQ_I64(input_of(STR("cloud"), STR("m1"), STR("2026-02-01")), 70);
    EXPECT_EQ_I64(input_of(STR("cloud"), STR("m1"), STR("2026-02-28")), 70);
    EXPECT_EQ_I64(input_of(STR("cloud"), STR("m1"), STR("2027-01-01")), 50);
}

TEST(exact_model_beats_the_star_and_nothing_before_its_day)
{
    EXPECT_EQ_I64(input_of(STR("cloud"), STR("m2"), STR("2026-02-01")), 10);
    EXPECT_EQ_I64(input_of(STR("cloud"), STR("m1"), STR("2025-12-31")), -1);
    EXPECT_EQ_I64(input_of(STR("own"), STR("m2"), STR("2026-12-31")), -1);
    EXPECT_EQ_I64(input_of(STR("own"), STR("m1"), STR("2026-01-31")), -1);
}

TEST(later_row_corrects_an_earlier_one_of_the_same_day)
{
    const struct prices_row two[] = {ROW("p", "m", "2026-01-01", 1, 1),
                                     ROW("p", "m", "2026-01-01", 2, 2)};
    const struct prices t = {two, 2, 0};

    EXPECT_EQ_I64(prices_find(&t, STR("p"), STR("m"), STR("2026-01-01"))->input_nano, 2);
}

TEST(cost_counts_parts_at_their_own_price)
{
    const struct prices_row row = {.input_nano = 1000,
                                   .cached_nano = 100,
                                   .output_nano = 4000,
                                   .reasoning_nano = 2000,
                                   .request_nano = 7};
    const struct chat_usage usage = {.prompt_tokens = 100,
                                     .completion_tokens = 50,
                                     .cached_tokens = 60,
                                     .reasoning_tokens = 20};

    EXPECT_EQ_I64(prices_cost(&row, &usage), 7 + 40 * 1000 + 60 * 100 + 30 * 4000 + 20 * 2000);
}

TEST(minus_one_means_the_price_of_the_whole)
{
    const struct chat_usage usage = {.prompt_tokens = 100,
                                     .completion_tokens = 50,
                                     .cached_tokens = 60,
                                     .reasoning_tokens = 20};

    EXPECT_EQ_I64(prices_cost(&rows[1], &usage), 100 * 100 + 50 * 200);
}

TEST(parts_over_the_whole_count_as_the_whole)
{
    const struct prices_row row = {.input_nano = 1000,
                                   .cached_nano = 100,
                                   .output_nano = 4000,
                                   .reasoning_nano = 2000};
    const struct chat_usage usage = {.prompt_tokens = 10,
                                     .completion_tokens = 5,
                                     .cached_tokens = 60,
                                     .reasoning_tokens = UINT32_MAX};

    EXPECT_EQ_I64(prices_cost(&row, &usage), 10 * 100 + 5 * 2000);
}

TEST(cost_saturates)
{
    const struct prices_row row = {.input_nano = INT64_MAX / 2,
                                   .output_nano = 3,
                                   .cached_nano = -1,
                                   .reasoning_nano = -1};
    const struct chat_usage three = {.prompt_tokens = 3};
    const struct chat_usage two = {.prompt_tokens = 2, .completion_tokens = 1};
    const struct chat_usage fits = {.prompt_tokens = 2};

    EXPECT_EQ_I64(prices_cost(&row, &three), INT64_MAX);
    EXPECT_EQ_I64(prices_cost(&row, &two), INT64_MAX);
    EXPECT_EQ_I64(prices_cost(&row, &fits), INT64_MAX - 1);
}

TEST(version_changes_with_every_field)
{
    const uint64_t was = prices_version(rows, 5);
    struct prices_row changed[5];

    EXPECT_EQ_U64(prices_version(rows, 5), was);
    EXPECT_TRUE(prices_version(rows, 4) != was);
    for (int field = 0; field < 11; field++) {
        memcpy(changed, rows, sizeof(rows));
        switch (field) {
        case 0:
            changed[2].provider = STR("clouD");
            break;
        case 1:
            changed[2].model = STR("");
            break;
        case 2:
            changed[2].currency = STR("EUR");
            break;
        case 3:
            changed[2].input_nano++;
            break;
        case 4:
            changed[2].cached_nano = 0;
            break;
        case 5:
            changed[2].output_nano--;
            break;
        case 6:
            changed[2].reasoning_nano = 0;
            break;
        case 7:
            changed[2].request_nano = 1;
            break;
        case 8:
            changed[2].valid_from = STR("2026-03-02");
            break;
        case 9:
            changed[2].source = STR("tess");
            break;
        default: // bytes that move from one text to the next
            changed[2].provider = STR("cloudm");
            changed[2].model = STR("1");
            break;
        }
        if (prices_version(changed, 5) == was) {
            FAIL("field %d does not change the version", field);
        }
    }
}

TEST(presets_name_their_source)
{
    const struct prices *p = prices_presets();

    EXPECT_EQ_U64(p->version, prices_version(p->rows, p->n_rows));
    for (uint32_t i = 0; i < p->n_rows; i++) {
        EXPECT_EQ_SIZE(p->rows[i].valid_from.len, 10);
        EXPECT_TRUE(p->rows[i].source.len > 10);
        EXPECT_TRUE(p->rows[i].provider.len > 0);
    }
    /* USD 0.42 per million tokens */
    EXPECT_EQ_I64(prices_find(p, STR("holysheep"), STR("deepseek-v3.2"), STR("2026-06-01"))
                      ->output_nano,
                  420);
}
