#include "gateway/load_report.h"
#include "base/json_scan.h"

#define LINES_MAX 20000

/* "name{labels} value [time]": the value, when the line is one of that name. */
static bool sample_of(struct str line, struct str name, double *ret_value)
{
    struct str rest;
    size_t end;

    if (!str_starts(line, name)) {
        return false;
    }
    rest = str_slice(line, name.len, line.len);
    if (rest.len > 0 && rest.ptr[0] == '{') {
        end = rest.len;
        while (end > 0 && rest.ptr[end - 1] != '}') { // label values may hold braces
            end--;
        }
        rest = str_slice(rest, end, rest.len);
    } else if (rest.len == 0 || rest.ptr[0] != ' ') {
        return false; // a longer name
    }
    rest = str_trim(rest);
    rest = str_slice(rest, 0, str_find_byte(rest, ' ', 0));
    return str_to_f64(rest, ret_value) == OK && *ret_value >= 0;
}

static void take_line(struct load_report *r, struct str line)
{
    double value;

    if (sample_of(line, STR("vllm:num_requests_running"), &value)) {
        r->running += value;
    } else if (sample_of(line, STR("vllm:num_requests_waiting"), &value)) {
        r->waiting += value;
    } else if (sample_of(line, STR("vllm:kv_cache_usage_perc"), &value) ||
               sample_of(line, STR("vllm:gpu_cache_usage_perc"), &value)) {
        value = value > 1 ? 1 : value;
        r->kv_use = value > r->kv_use ? value : r->kv_use;
    } else {
        return;
    }
    r->known = true;
}

struct load_report load_report_metrics(struct str text)
{
    struct load_report r = {0};
    size_t at = 0;

    for (uint32_t n = 0; n < LINES_MAX && at < text.len; n++) {
        const size_t found = str_find_byte(text, '\n', at);
        const size_t end = found == SIZE_MAX ? text.len : found;

        if (text.ptr[at] == 'v') {
            take_line(&r, str_trim(str_slice(text, at, end)));
        }
        at = end + 1;
    }
    return r;
}

static bool mean_of(struct json_scan *s, double *ret_mean)
{
    struct str source;
    double sum = 0;
    double value;
    uint32_t n = 0;
    enum status rc = json_scan_enter(s);

    while (rc == OK) {
        rc = json_scan_element(s);
        if (rc == OK) {
            rc = json_scan_skip(s, &source);
        }
        if (rc == OK && str_to_f64(source, &value) == OK) {
            sum += value;
            n++;
        }
    }
    if (rc != E_CLOSED || n == 0) {
        return false;
    }
    *ret_mean = sum / n;
    return true;
}

double load_report_utilization(struct str json)
{
    struct json_scan s;
    enum json_kind kind;
    struct str key;
    double mean = -1;
    enum status rc;

    json_scan_init(&s, json, NULL);
    rc = json_scan_enter(&s);
    while (rc == OK) {
        rc = json_scan_member(&s, &key);
        if (rc == OK) {
            rc = json_scan_kind(&s, &kind);
        }
        if (rc == OK && kind == JSON_ARRAY && str_eq(key, STR("gpu_utilization"))) {
            return mean_of(&s, &mean) ? mean : -1;
        }
        if (rc == OK) {
            rc = json_scan_skip(&s, NULL);
        }
    }
    return -1;
}
