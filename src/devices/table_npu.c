/* Two rows per chip:
 *   NPU Name | Health | Power Temp Hugepages-used / total
 *   Chip [Phy-ID or Device] | Bus-Id | AICore Memory-used / total [HBM-used / total]
 * then "NPU Chip | Process id | Process name | Process memory [| Process id in container]". */
#include "devices/table.h"

#include <math.h>
#include <string.h>

struct npu_table {
    struct reading *r;
    bool has_phy_id;
    bool open;                // the first row of a chip was read, the second is due
    struct devices_card card; // while open
};

static enum devices_health health_of(struct str word)
{
    static const struct {
        const char *word;
        enum devices_health health;
    } words[] = {
        {"OK", DEVICES_HEALTH_OK},
        {"Warning", DEVICES_HEALTH_WARNING},
        {"Alarm", DEVICES_HEALTH_ALARM},
        {"Critical", DEVICES_HEALTH_CRITICAL},
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (str_eq_nocase(word, str_from_c(words[i].word))) {
            return words[i].health;
        }
    }
    return DEVICES_HEALTH_UNKNOWN;
}

/* Words before the first "used / total" pair: index of its first word. */
static uint32_t pair_at(const struct table_words *w, uint32_t from)
{
    for (uint32_t i = from; i + 1 < w->n; i++) {
        if (str_eq(w->at[i + 1], STR("/"))) {
            return i;
        }
    }
    return w->n;
}

static void take_memory(const struct table_words *w, uint32_t at, struct devices_card *card)
{
    if (at + 2 >= w->n || !str_eq(w->at[at + 1], STR("/"))) {
        return;
    }
    card->memory_used_bytes = table_mib(table_number(w->at[at], NULL));
    card->memory_total_bytes = table_mib(table_number(w->at[at + 2], NULL));
}

static void first_row(struct npu_table *t, const struct table_cells *c,
                      const struct table_words *left)
{
    struct table_words w;

    reading_card_init(&t->card, DEVICES_ASCEND, t->r->n_cards);
    t->card.npu = (int32_t)table_count(left->at[0]);
    if (left->n > 1) { // everything behind the number: names may hold blanks
        struct str name = {left->at[1].ptr,
                           (size_t)(c->at[0].ptr + c->at[0].len - left->at[1].ptr)};

        reading_text(t->card.model, sizeof(t->card.model), name);
    }
    t->card.health = health_of(c->at[1]);
    table_split(c->at[2], &w);
    if (pair_at(&w, 0) == 2) { // with fewer words nobody can say which one is missing
        t->card.power_w = table_number(w.at[0], NULL);
        t->card.temperature_c = table_number(w.at[1], NULL);
    }
    t->open = true;
}

static void second_row(struct npu_table *t, const struct table_cells *c,
                       const struct table_words *left)
{
    struct table_words w;
    uint32_t pair;

    t->card.chip = (int32_t)table_count(left->at[0]);
    if (t->has_phy_id && left->n > 1) {
        t->card.node = (int32_t)table_count(left->at[1]);
    }
    reading_bus_id(t->card.bus_id, c->at[1]);
    table_split(c->at[2], &w);
    pair = pair_at(&w, 0);
    if (pair == 1) {
        t->card.utilization_percent = table_number(w.at[0], NULL);
    }
    take_memory(&w, pair, &t->card);
    if (pair + 3 < w.n && pair_at(&w, pair + 3) < w.n) { // the HBM column beside the DDR's
        take_memory(&w, pair_at(&w, pair + 3), &t->card);
    }
    memcpy(t->card.driver, t->r->driver, sizeof(t->card.driver));
    t->open = false;
    reading_add_card(t->r, &t->card);
}

static uint32_t find_chip(const struct reading *r, int64_t npu, int64_t chip)
{
    for (uint32_t i = 0; i < r->n_cards; i++) {
        if (r->cards[i].npu == npu && (chip < 0 || r->cards[i].chip == chip)) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void process_row(struct npu_table *t, const struct table_cells *c,
                        const struct table_words *left)
{
    int64_t pid = table_count(c->at[1]);
    int64_t chip = left->n > 1 ? table_count(left->at[1]) : -1;
    uint32_t card = find_chip(t->r, table_count(left->at[0]), chip);

    if (pid > 0 && card != UINT32_MAX) {
        t->r->cards[card].processes_known = true;
        reading_add_process(t->r, card, (uint32_t)pid, c->at[2],
                            table_mib(table_number(c->at[3], NULL)));
    }
}

/* "No running processes found in NPU 6" */
static void no_processes(struct npu_table *t, struct str line)
{
    struct str mark = STR("No running processes found in NPU ");
    size_t at = str_find(line, mark, 0);
    struct str rest = str_trim(str_slice(line, at + mark.len, line.len));
    size_t end = str_find_byte(rest, ' ', 0);
    int64_t npu = table_count(str_slice(rest, 0, end));

    for (uint32_t i = 0; i < t->r->n_cards; i++) {
        if (t->r->cards[i].npu == npu) {
            t->r->cards[i].processes_known = true;
        }
    }
}

static void take_version(struct reading *r, struct str line)
{
    size_t at = str_find(line, STR("Version:"), 0);
    struct table_words w;

    if (at != SIZE_MAX && str_find(line, STR("npu-smi"), 0) != SIZE_MAX) {
        table_split(str_slice(line, at + 8, line.len), &w);
        if (w.n > 0) {
            reading_text(r->driver, sizeof(r->driver), w.at[0]);
        }
    }
}

static void table_line(struct npu_table *t, struct str line)
{
    struct table_cells c;
    struct table_words left;

    take_version(t->r, line);
    if (str_find(line, STR("Phy-ID"), 0) != SIZE_MAX) {
        t->has_phy_id = true;
    }
    if (str_find(line, STR("No running processes found in NPU "), 0) != SIZE_MAX) {
        no_processes(t, line);
        return;
    }
    if (str_find_byte(line, '|', 0) == SIZE_MAX) {
        return;
    }
    table_cut(line, '|', &c);
    table_split(c.at[0], &left);
    if (left.n == 0 || table_count(left.at[0]) < 0 || c.n < 3) {
        return;
    }
    if (c.n >= 4) {
        process_row(t, &c, &left);
    } else if (t->open) {
        second_row(t, &c, &left);
    } else {
        first_row(t, &c, &left);
    }
}

void table_npu(struct str text, struct reading *r)
{
    struct npu_table t = {.r = r};
    struct str line;
    size_t at = 0;

    for (uint32_t n = 0; n < TABLE_LINES_MAX && table_next_line(text, &at, &line); n++) {
        table_line(&t, line);
    }
    table_conclude(text, r);
}
