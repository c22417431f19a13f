#include "devices/reading.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void reading_card_init(struct devices_card *card, enum devices_vendor vendor, uint32_t index)
{
    *card = (struct devices_card){
        .vendor = vendor,
        .index = index,
        .npu = -1,
        .chip = -1,
        .node = -1,
        .memory_total_bytes = -1,
        .memory_used_bytes = -1,
        .utilization_percent = (double)NAN,
        .temperature_c = (double)NAN,
        .power_w = (double)NAN,
    };
}

bool reading_add_card(struct reading *r, const struct devices_card *card)
{
    if (r->n_cards == READING_CARDS_MAX) {
        return false;
    }
    r->cards[r->n_cards++] = *card;
    return true;
}

void reading_add_process(struct reading *r, uint32_t card_idx, uint32_t pid, struct str name,
                         int64_t memory_bytes)
{
    struct devices_process *p;

    if (r->n_processes == READING_PROCESSES_MAX) {
        return;
    }
    p = &r->processes[r->n_processes++];
    *p = (struct devices_process){.card_idx = card_idx, .pid = pid, .memory_bytes = memory_bytes};
    reading_text(p->name, sizeof(p->name), name);
}

uint32_t reading_find(const struct reading *r, uint32_t index)
{
    for (uint32_t i = 0; i < r->n_cards; i++) {
        if (r->cards[i].index == index) {
            return i;
        }
    }
    return UINT32_MAX;
}

static bool says_unknown(struct str s)
{
    return str_eq(s, STR("NA")) || str_eq(s, STR("N/A")) || str_eq(s, STR("[N/A]")) ||
           str_eq(s, STR("-")) || str_starts(s, STR("[Not Supported")) ||
           str_starts(s, STR("[Requested functionality"));
}

void reading_text(char *to, size_t cap, struct str text)
{
    struct str s = str_trim(text);
    size_t n = 0;

    if (!says_unknown(s)) {
        for (; n < s.len && n + 1 < cap; n++) {
            to[n] = s.ptr[n] >= 0x20 && s.ptr[n] < 0x7f ? s.ptr[n] : '?';
        }
    }
    to[n] = '\0';
}

void reading_field(char *to, size_t cap, const char *field, size_t n_bytes)
{
    reading_text(to, cap, (struct str){field, strnlen(field, n_bytes)});
}

void reading_bus_numbers(char to[32], uint32_t domain, uint32_t bus, uint32_t device, uint32_t fn)
{
    to[0] = '\0';
    if (bus <= 0xff && device <= 0x1f && fn <= 7) {
        snprintf(to, 32, "%04x:%02x:%02x.%x", domain, bus, device, fn);
    }
}

/* Hexadecimal digits at *at, at most `max`; false when there is none. */
static bool read_hex(struct str s, size_t *at, size_t max, uint32_t *ret)
{
    uint32_t v = 0;
    size_t n = 0;

    for (; n < max && *at < s.len && isxdigit((unsigned char)s.ptr[*at]); n++, (*at)++) {
        char c = (char)tolower((unsigned char)s.ptr[*at]);

        v = v << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret = v;
    return n > 0;
}

static bool skip(struct str s, size_t *at, char c)
{
    if (*at < s.len && s.ptr[*at] == c) {
        (*at)++;
        return true;
    }
    return false;
}

void reading_bus_id(char to[32], struct str text)
{
    struct str s = str_trim(text);
    uint32_t domain = 0;
    uint32_t bus = 0;
    uint32_t device = 0;
    uint32_t fn = 0;
    size_t at = 0;

    to[0] = '\0';
    if (read_hex(s, &at, 8, &domain) && skip(s, &at, ':') && read_hex(s, &at, 2, &bus) &&
        skip(s, &at, ':') && read_hex(s, &at, 2, &device) && skip(s, &at, '.') &&
        read_hex(s, &at, 1, &fn) && at == s.len) {
        reading_bus_numbers(to, domain, bus, device, fn);
    }
}

void reading_remark(char to[DEVICES_TEXT_MAX], const char *fmt, ...)
{
    size_t n = strnlen(to, DEVICES_TEXT_MAX - 1);
    va_list args;

    if (n > 0 && n + 3 < DEVICES_TEXT_MAX) {
        memcpy(to + n, "; ", 3);
        n += 2;
    }
    va_start(args, fmt);
    vsnprintf(to + n, DEVICES_TEXT_MAX - n, fmt, args);
    va_end(args);
}
