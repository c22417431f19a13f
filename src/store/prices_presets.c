#include "base/check.h"
#include "store/prices.h"

#include <pthread.h>

/* Prices per million tokens as 1000 nano-units per token and unit.  The sheets that these figures
 * come from give one price per model and do not tell input from output, so both are the same here;
 * they do not date their figures either, so the rows hold from the beginning of the year in which
 * they were noted.  They circulate and contradict each other (a maker's price in one table is a
 * reseller's in the next): whoever pays a bill writes its own rows from its own contract. */
#define ROW(the_provider, the_model, nano, the_source)                                             \
    {                                                                                              \
        .provider = {the_provider, sizeof(the_provider) - 1},                                      \
        .model = {the_model, sizeof(the_model) - 1}, .currency = {"USD", 3}, .input_nano = (nano), \
        .cached_nano = -1, .output_nano = (nano), .reasoning_nano = -1, .request_nano = 0,         \
        .valid_from = {"2026-01-01", 10}, .source = {the_source, sizeof(the_source) - 1},          \
    }

#define LIST "list price in a comparison of cloud offers for hybrid installations; not confirmed"
#define RESOLD "reseller's price in the same comparison; not confirmed by a price list of theirs"
#define MAKER "given there a second time, as the maker's own price; contradicts its list price"

static const struct prices_row rows[] = {
    ROW("list", "deepseek-v3.2", 2000, LIST),
    ROW("list", "gemini-2.5-flash", 1250, LIST),
    ROW("list", "gpt-4.1", 30000, LIST),
    ROW("list", "claude-sonnet-4.5", 45000, LIST),
    ROW("holysheep", "deepseek-v3.2", 420, RESOLD),
    ROW("holysheep", "gemini-2.5-flash", 250, RESOLD),
    ROW("holysheep", "gpt-4.1", 8000, RESOLD),
    ROW("holysheep", "claude-sonnet-4.5", 15000, RESOLD),
    ROW("maker", "gpt-4.1", 8000, MAKER),
    ROW("maker", "claude-sonnet-4.5", 15000, MAKER),
};

static struct prices table = {.rows = rows, .n_rows = ARRAY_COUNT(rows)};

static void prepare(void)
{
    table.version = prices_version(rows, ARRAY_COUNT(rows));
}

const struct prices *prices_presets(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, prepare);
    return &table;
}
