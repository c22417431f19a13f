/* app/config_value: durations, sizes, shares, money, addresses, days; and the way back. */
#include "app/config_value.h"
#include "base/buf.h"
#include "support/test.h"

#include <string.h>

static uint64_t ms(const char *text)
{
    uint64_t v = UINT64_MAX;

    return config_value_ms(str_from_c(text), &v) == OK ? v : UINT64_MAX;
}

static uint64_t bytes(const char *text)
{
    uint64_t v = UINT64_MAX;

    return config_value_bytes(str_from_c(text), &v) == OK ? v : UINT64_MAX;
}

static int64_t money(const char *text)
{
    int64_t v = -1;

    return config_value_money(str_from_c(text), &v) == OK ? v : -1;
}

static int64_t price(const char *text)
{
    int64_t v = -1;

    return config_value_price(str_from_c(text), &v) == OK ? v : -1;
}

TEST(durations_need_a_unit)
{
    EXPECT_EQ_U64(ms("500ms"), 500);
    EXPECT_EQ_U64(ms("2s"), 2000);
    EXPECT_EQ_U64(ms("10m"), 600000);
    EXPECT_EQ_U64(ms("1h"), 3600000);
    EXPECT_EQ_U64(ms("0"), 0);
    EXPECT_EQ_U64(ms("2"), UINT64_MAX);
    EXPECT_EQ_U64(ms("2 s"), UINT64_MAX);
    EXPECT_EQ_U64(ms("-2s"), UINT64_MAX);
    EXPECT_EQ_U64(ms("1.5s"), UINT64_MAX);
    EXPECT_EQ_U64(ms("ms"), UINT64_MAX);
    EXPECT_EQ_U64(ms(""), UINT64_MAX);
    EXPECT_EQ_U64(ms("9999999999999999999h"), UINT64_MAX);
}

TEST(sizes_are_binary_or_decimal_as_written)
{
    EXPECT_EQ_U64(bytes("65536"), 65536);
    EXPECT_EQ_U64(bytes("64KiB"), 65536);
    EXPECT_EQ_U64(bytes("64kB"), 64000);
    EXPECT_EQ_U64(bytes("8MiB"), 8 << 20);
    EXPECT_EQ_U64(bytes("1GB"), 1000000000);
    EXPECT_EQ_U64(bytes("2TiB"), UINT64_C(2) << 40);
    EXPECT_EQ_U64(bytes("8M"), UINT64_MAX);
    EXPECT_EQ_U64(bytes("8mib"), UINT64_MAX);
    EXPECT_EQ_U64(bytes("99999999TiB"), UINT64_MAX);
}

TEST(money_is_exact)
{
    EXPECT_EQ_I64(money("500.00"), INT64_C(500000000000));
    EXPECT_EQ_I64(money("0.000000001"), 1);
    EXPECT_EQ_I64(money("0.0000000001"), -1);
    EXPECT_EQ_I64(money("9223372036.854775807"), INT64_MAX);
    EXPECT_EQ_I64(money("9223372036.854775808"), -1);
    EXPECT_EQ_I64(money("-1"), -1);
    EXPECT_EQ_I64(money("1e3"), -1);
    EXPECT_EQ_I64(money("1."), -1);
    EXPECT_EQ_I64(money(".5"), -1);
    EXPECT_EQ_I64(money("1,50"), -1);
}

TEST(a_price_of_a_million_tokens_becomes_nano_units_a_token)
{
    EXPECT_EQ_I64(price("1"), 1000);
    EXPECT_EQ_I64(price("0.42"), 420);
    EXPECT_EQ_I64(price("0.028"), 28);
    EXPECT_EQ_I64(price("0.0281"), -1);
}

TEST(percent_days_addresses)
{
    uint64_t v = 0;
    struct str host;
    uint16_t port = 0;

    EXPECT_OK(config_value_percent(STR("20%"), &v));
    EXPECT_EQ_U64(v, 20);
    EXPECT_STATUS(config_value_percent(STR("20"), &v), E_INVALID);
    EXPECT_STATUS(config_value_percent(STR("0.2%"), &v), E_INVALID);
    EXPECT_TRUE(config_value_is_day(STR("2024-02-29")));
    EXPECT_FALSE(config_value_is_day(STR("2026-02-29")));
    EXPECT_FALSE(config_value_is_day(STR("2026-13-01")));
    EXPECT_FALSE(config_value_is_day(STR("2026-1-01")));
    EXPECT_OK(config_value_address(STR("[::1]:8443"), &host, &port));
    EXPECT_EQ_STR(host, STR("::1"));
    EXPECT_EQ_U32(port, 8443);
    EXPECT_OK(config_value_address(STR("gate.example:1"), &host, &port));
    EXPECT_EQ_STR(host, STR("gate.example"));
    EXPECT_STATUS(config_value_address(STR("::1:80"), &host, &port), E_INVALID);
    EXPECT_STATUS(config_value_address(STR("127.0.0.1"), &host, &port), E_INVALID);
    EXPECT_STATUS(config_value_address(STR("127.0.0.1:0"), &host, &port), E_LIMIT);
    EXPECT_STATUS(config_value_address(STR("127.0.0.1:65536"), &host, &port), E_LIMIT);
    EXPECT_STATUS(config_value_address(STR(":80"), &host, &port), E_INVALID);
}

TEST(names_and_headers)
{
    EXPECT_TRUE(config_value_is_name(STR("rack-1.b_2")));
    EXPECT_FALSE(config_value_is_name(STR("rack 1")));
    EXPECT_FALSE(config_value_is_name(STR("")));
    EXPECT_FALSE(config_value_is_name(STR("r\xc3\xa4")));
    EXPECT_TRUE(config_value_is_header(STR("x-session-id")));
    EXPECT_FALSE(config_value_is_header(STR("x session")));
    EXPECT_FALSE(config_value_is_header(STR("x:y")));
}

static const char *text_of(void (*write)(struct buf *, uint64_t), uint64_t v)
{
    static char copy[64];
    struct buf b;

    buf_init(&b, sizeof(copy) - 1);
    write(&b, v);
    memcpy(copy, buf_c(&b), b.len + 1);
    buf_done(&b);
    return copy;
}

static void write_money(struct buf *b, uint64_t v)
{
    config_value_write_money(b, (int64_t)v);
}

static void write_price(struct buf *b, uint64_t v)
{
    config_value_write_price(b, (int64_t)v);
}

TEST(written_values_read_as_the_same)
{
    static const uint64_t values[] = {0,         1,          999,        1000,     60000, 3600000,
                                      1023,      1024,       1 << 20,    1 << 30,  90000, 123456789,
                                      999999999, 1000000000, 1000000001, 500000000};

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        uint64_t v = values[i];

        EXPECT_EQ_U64(ms(text_of(config_value_write_ms, v)), v);
        EXPECT_EQ_U64(bytes(text_of(config_value_write_bytes, v)), v);
        EXPECT_EQ_I64(money(text_of(write_money, v)), (int64_t)v);
        EXPECT_EQ_I64(price(text_of(write_price, v)), (int64_t)v);
    }
    EXPECT_EQ_C_STR(text_of(write_money, 500000000000), "500.00");
    EXPECT_EQ_C_STR(text_of(write_price, 28), "0.028");
    EXPECT_EQ_C_STR(text_of(config_value_write_ms, 90000), "90s");
    EXPECT_EQ_C_STR(text_of(config_value_write_bytes, 32 << 20), "32MiB");
}
