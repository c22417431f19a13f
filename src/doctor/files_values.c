/* Small readers of values: numbers with units, versions, placeholders. */
#include "base/check.h"
#include "doctor/files_internal.h"

#include <string.h>

static char lower(char ch)
{
    return ch >= 'A' && ch <= 'Z' ? (char)(ch + 32) : ch;
}

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

bool files_has_text(struct str s, const char *needle)
{
    size_t n = strlen(needle);

    for (size_t i = 0; i + n <= s.len; i++) {
        size_t k = 0;

        while (k < n && lower(s.ptr[i + k]) == lower(needle[k])) {
            k++;
        }
        if (k == n) {
            return true;
        }
    }
    return false;
}

bool files_number(struct str s, uint64_t *ret_value)
{
    uint64_t v = 0;
    size_t i = 0;

    while (i < s.len && i < 18 && is_digit(s.ptr[i])) {
        v = v * 10 + (uint64_t)(s.ptr[i] - '0');
        i++;
    }
    if (i == 0) {
        return false;
    }
    *ret_value = v;
    return true;
}

bool files_bytes(struct str s, uint64_t *ret_bytes)
{
    uint64_t v;
    size_t i = 0;
    uint32_t shift = 0;

    s = str_trim(s);
    if (!files_number(s, &v)) {
        return false;
    }
    while (i < s.len && is_digit(s.ptr[i])) {
        i++;
    }
    if (i < s.len && s.ptr[i] == '.') { // 1.5g: the whole part will do
        i++;
        while (i < s.len && is_digit(s.ptr[i])) {
            i++;
        }
    }
    if (i < s.len) {
        switch (lower(s.ptr[i])) {
        case 'b':
            break;
        case 'k':
            shift = 10;
            break;
        case 'm':
            shift = 20;
            break;
        case 'g':
            shift = 30;
            break;
        case 't':
            shift = 40;
            break;
        default:
            return false;
        }
        if (s.len - i > 3) {
            return false;
        }
    }
    if (v > UINT64_MAX >> shift) {
        return false;
    }
    *ret_bytes = v << shift;
    return true;
}

bool files_version(struct str s, uint32_t *ret_version)
{
    uint32_t parts[3] = {0};
    uint32_t n = 0;
    size_t i = 0;

    if (i < s.len && lower(s.ptr[i]) == 'v') {
        i++;
    }
    while (n < 3 && i < s.len && is_digit(s.ptr[i])) {
        uint64_t v = 0;

        (void)files_number(str_slice(s, i, s.len), &v);
        parts[n++] = v > 999 ? 999 : (uint32_t)v;
        while (i < s.len && is_digit(s.ptr[i])) {
            i++;
        }
        if (i >= s.len || s.ptr[i] != '.') {
            break;
        }
        i++;
    }
    if (n < 2) {
        return false;
    }
    *ret_version = parts[0] * 1000000 + parts[1] * 1000 + parts[2];
    return true;
}

/* "xxxx", "x.x.x.x", "XX-XX" */
static bool only_x(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (lower(s.ptr[i]) == 'x') {
            n++;
        } else if (s.ptr[i] != '.' && s.ptr[i] != '-' && s.ptr[i] != ':' && s.ptr[i] != '/') {
            return false;
        }
    }
    return n >= 3;
}

bool files_placeholder(struct str v)
{
    static const char *const words[] = {
        "pip:port",      "your_",           "your-",      "<your",     "replace_me", "replace-me",
        "changeme",      "change_me",       "change-me",  "path/to/",  "path_to_",   "nic_name",
        "local_ip",      "master_ip",       "node0_ip",   "node_ip",   "head_ip",    "ip:port",
        "xx.xx.",        "xxx.xxx",         "x.x.x.x",    "fill_in",   "insert_",    "placeholder",
        "my_model_path", "model_path_here", "prefill_ip", "decode_ip", "your ",      "p-ip",
    };
    struct str whole[] = {STR("PIP"),      STR("PORT"),      STR("IP"),      STR("MODEL_PATH"),
                          STR("HOST"),     STR("MODEL_DIR"), STR("IFNAME"),  STR("INTERFACE"),
                          STR("LOCAL_IP"), STR("MASTER_IP"), STR("NODE_IP"), STR("NIC"),
                          STR("YOUR_KEY"), STR("ADDRESS"),   STR("HEAD_IP"), STR("TOKEN"),
                          STR("NIC_NAME"), STR("TP_SIZE"),   STR("API_KEY"), STR("N")};

    v = str_trim(v);
    if (v.len == 0 || v.len > 4096) {
        return false;
    }
    if (only_x(v) || (v.ptr[0] == '<' && v.ptr[v.len - 1] == '>')) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(whole); i++) {
        if (str_eq(v, whole[i])) {
            return true;
        }
    }
    if (str_find_byte(v, '$', 0) != SIZE_MAX) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (files_has_text(v, words[i])) {
            return true;
        }
    }
    for (size_t at = str_find_byte(v, '<', 0); at != SIZE_MAX;
         at = str_find_byte(v, '<', at + 1)) { // tcp://<address>:<port>
        size_t end = str_find_byte(v, '>', at);

        if (end != SIZE_MAX && end > at + 1) {
            return true;
        }
    }
    return str_find(v, STR(":PORT"), 0) != SIZE_MAX || str_find(v, STR("//IP"), 0) != SIZE_MAX;
}
