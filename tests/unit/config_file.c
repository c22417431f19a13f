/* app/config_*: a file becomes settings; printing and reading again gives the same; broken files
 * never do harm.  Faults: config_faults.c. */
#include "app/config_file.h"
#include "app/config_auth.h"
#include "app/config_print.h"
#include "app/config_reference.h"
#include "base/json.h"
#include "base/rng.h"
#include "support/certificates.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define OUT_BYTES (8 << 20)

/* What any valid file needs, in three lines. */
#define BASE                                                                                       \
    "upstreams: [{name: u, url: http://127.0.0.1:1/v1}]\n"                                         \
    "pools: [{name: p, members: [u]}]\n"                                                           \
    "models: [{name: m, pools: [p]}]\n"

/* Loads, fails the test with the report otherwise. */
static struct config_file load(const char *path)
{
    struct config_file_options options = {.path = path};
    struct config_file file = {0};
    struct config_report report;
    struct buf out;

    config_report_init(&report, path);
    if (config_file_load(&options, &report, &file) != OK) {
        buf_init(&out, OUT_BYTES);
        config_report_print(&report, &out);
        FAIL("%s", buf_c(&out));
    }
    config_report_done(&report);
    return file;
}

/* Every field that a file can fill, with values that are no defaults. */
static const char everything[] =
    "listen:\n"
    "  - '127.0.0.1:8080'\n"
    "  - {address: '[::1]:8443', certificate: cert.pem, key: cert.key, client_ca: ca.pem}\n"
    "state_dir: state\n"
    "durability: power-loss\n"
    "auth:\n"
    "  keys: true\n"
    "  api_keys_file: keys.txt\n"
    "  api_keys_env: KONTOR_TEST_KEYS\n"
    "  api_keys: [sk-a]\n"
    "  header: x-key\n"
    "  prefix: ''\n"
    "  jwt: {secret_env: KONTOR_TEST_KEY, jwks_url: https://login.example/keys, issuer: i, "
    "audience: a}\n"
    "upstreams:\n"
    "  - name: here\n"
    "    kind: local\n"
    "    model: builtin\n"
    "    engine: {max_model_len: 512, max_num_seqs: 4, kv_cache: 8MiB, threads: 2}\n"
    "    provider: house\n"
    "    region: de\n"
    "    parallel: 9\n"
    "  - name: there\n"
    "    url: https://api.example/v1/\n"
    "    key_env: KONTOR_TEST_KEY\n"
    "    provider: cloud\n"
    "    region: eu\n"
    "    models: {a: b, 'c d': e}\n"
    "    continues: true\n"
    "    timeouts: {connect: 1s, first_byte: 3s, idle: 4s, total: 5s}\n"
    "    health: {path: none, interval: 7s, probe: true, metrics: /m}\n"
    "    tls: {ca: ca.pem, certificate: cert.pem, key: cert.key, server_name: n, insecure: "
    "true}\n"
    "pools:\n"
    "  - {name: in, members: [{upstream: here, weight: 3}], balance: prefix-hash,\n"
    "     affinity_header: x-s, ceiling: confidential, region: de}\n"
    "  - {name: out, members: [there], external: true}\n"
    "models:\n"
    "  - {name: m, pools: [out, in], latency_gate: 1500ms, on_slow: next}\n"
    "policy:\n"
    "  default_label: internal\n"
    "  label_header: x-l\n"
    "  rules:\n"
    "    - name: r\n"
    "      when: {models: [m], teams: [t], keys: [k_1, k_2], label_at_most: public, "
    "body_at_most: 64KiB}\n"
    "      allow: [out]\n"
    "      regions: [eu, de]\n"
    "    - {name: d, deny: true}\n"
    "limits:\n"
    "  - {subject: 'key:k_1', requests_per_minute: 1, tokens_per_minute: 2, parallel: 3, money: "
    "'4.5', period: day}\n"
    "prices:\n"
    "  - {provider: cloud, model: b, currency: EUR, input: 1, cached_input: '0.5', output: 2, "
    "reasoning: 3, request: '0.000000001', valid_from: 2026-08-01, source: s}\n"
    "  - {provider: cloud, model: '*', input: 1, output: 2, valid_from: 2026-08-01, source: s}\n"
    "failover: {attempts: 4, retry_budget: 30%, retry_floor: 5,\n"
    "           breaker: {failures: 6, open: 7s, ramp: 8s, eject_at_most: 90%}}\n"
    "server: {request_timeout: 9s, drain_timeout: 10s, inflight: 11, max_body: 2MiB}\n";

static void open_everything(struct temp_folder *folder, char path[512])
{
    struct certificates authority;
    struct certificate_files files;
    char secret[512];

    temp_folder_open(folder);
    certificates_init(&authority, folder->path);
    certificates_issue(&authority, "cert", "DNS:localhost", -1, 30, &files);
    certificates_done(&authority);
    temp_folder_text(folder, "keys.txt", "sk-b\nsk-c\n");
    temp_folder_text(folder, "kontor.yaml", everything);
    temp_folder_path(folder, "keys.txt", secret);
    chmod(secret, 0600);
    temp_folder_path(folder, "kontor.yaml", path);
    setenv("KONTOR_TEST_KEY", "sk-env", 1);
    setenv("KONTOR_TEST_KEYS", "sk-d, sk-e", 1);
}

static void expect_top(const struct settings *s, const char *folder)
{
    char path[600];

    EXPECT_EQ_U32(s->n_listeners, 2);
    EXPECT_EQ_STR(s->listeners[1].host, STR("::1"));
    EXPECT_EQ_U32(s->listeners[1].port, 8443);
    snprintf(path, sizeof(path), "%s/cert.pem", folder);
    EXPECT_EQ_C_STR(s->listeners[1].certificate_file.ptr, path);
    snprintf(path, sizeof(path), "%s/cert.key", folder);
    EXPECT_EQ_C_STR(s->listeners[1].key_file.ptr, path);
    snprintf(path, sizeof(path), "%s/ca.pem", folder);
    EXPECT_EQ_C_STR(s->listeners[1].client_ca_file.ptr, path);
    snprintf(path, sizeof(path), "%s/state", folder);
    EXPECT_EQ_C_STR(s->state_dir.ptr, path);
    snprintf(path, sizeof(path), "%s/state/keys.json", folder);
    EXPECT_EQ_C_STR(s->keys_file.ptr, path);
    EXPECT_TRUE(s->power_loss);
    EXPECT_TRUE(s->digest != 0);
    EXPECT_EQ_U32(s->n_auth_keys, 5);
    EXPECT_EQ_STR(s->auth_keys[0], STR("sk-b"));
    EXPECT_EQ_STR(s->auth_keys[3], STR("sk-e"));
    EXPECT_EQ_STR(s->auth_keys[4], STR("sk-a"));
    EXPECT_EQ_STR(s->auth_header, STR("x-key"));
    EXPECT_EQ_STR(s->auth_prefix, STR(""));
    EXPECT_EQ_STR(s->jwt_secret, STR("sk-env"));
    EXPECT_EQ_STR(s->jwks_url, STR("https://login.example/keys"));
    EXPECT_EQ_STR(s->jwt_issuer, STR("i"));
    EXPECT_EQ_STR(s->jwt_audience, STR("a"));
    EXPECT_EQ_U32(s->attempts_max, 4);
    EXPECT_EQ_U32(s->retry_budget_pct, 30);
    EXPECT_EQ_U32(s->retry_budget_floor, 5);
    EXPECT_EQ_U32(s->breaker_failures, 6);
    EXPECT_EQ_U32(s->breaker_open_ms, 7000);
    EXPECT_EQ_U32(s->ramp_ms, 8000);
    EXPECT_EQ_U32(s->eject_share_max_pct, 90);
    EXPECT_EQ_U32(s->request_timeout_ms, 9000);
    EXPECT_EQ_U32(s->drain_timeout_ms, 10000);
    EXPECT_EQ_U32(s->inflight_max, 11);
    EXPECT_EQ_U64(s->body_bytes_max, 2 << 20);
}

static void expect_upstreams(const struct settings *s, const char *folder)
{
    const struct settings_upstream *u = &s->upstreams[0];
    char path[600];

    EXPECT_EQ_U32(s->n_upstreams, 2);
    EXPECT_EQ_STR(u->name, STR("here"));
    EXPECT_EQ_U32(u->kind, SETTINGS_LOCAL);
    EXPECT_EQ_STR(u->engine.model, STR("builtin"));
    EXPECT_EQ_U32(u->engine.max_model_len, 512);
    EXPECT_EQ_U32(u->engine.max_num_seqs, 4);
    EXPECT_EQ_U64(u->engine.kv_cache_bytes, 8 << 20);
    EXPECT_EQ_U32(u->engine.n_threads, 2);
    EXPECT_EQ_STR(u->provider, STR("house"));
    EXPECT_EQ_U32(u->parallel_max, 9);
    u++;
    EXPECT_EQ_U32(u->kind, SETTINGS_OPENAI);
    EXPECT_EQ_STR(u->url, STR("https://api.example/v1"));
    EXPECT_EQ_STR(u->key, STR("sk-env"));
    EXPECT_EQ_STR(u->region, STR("eu"));
    EXPECT_EQ_U32(u->n_models, 2);
    EXPECT_EQ_STR(u->models[1].from, STR("c d"));
    EXPECT_EQ_STR(u->models[1].to, STR("e"));
    EXPECT_TRUE(u->continues);
    EXPECT_EQ_U32(u->connect_timeout_ms, 1000);
    EXPECT_EQ_U32(u->first_byte_timeout_ms, 3000);
    EXPECT_EQ_U32(u->idle_timeout_ms, 4000);
    EXPECT_EQ_U32(u->total_timeout_ms, 5000);
    EXPECT_EQ_STR(u->health_path, STR(""));
    EXPECT_EQ_U32(u->health_interval_ms, 7000);
    EXPECT_TRUE(u->probe);
    EXPECT_EQ_STR(u->metrics_path, STR("/m"));
    snprintf(path, sizeof(path), "%s/ca.pem", folder);
    EXPECT_EQ_C_STR(u->tls.ca_file, path);
    snprintf(path, sizeof(path), "%s/cert.pem", folder);
    EXPECT_EQ_C_STR(u->tls.certificate_file, path);
    snprintf(path, sizeof(path), "%s/cert.key", folder);
    EXPECT_EQ_C_STR(u->tls.key_file, path);
    EXPECT_EQ_C_STR(u->tls.server_name, "n");
    EXPECT_TRUE(u->tls.insecure);
}

static void expect_policy(const struct settings *s)
{
    const struct settings_rule *r = &s->rules[0];

    EXPECT_EQ_U32(s->pools[0].members[0].upstream, 0);
    EXPECT_EQ_U32(s->pools[0].members[0].weight, 3);
    EXPECT_EQ_U32(s->pools[0].balance, SETTINGS_PREFIX_HASH);
    EXPECT_EQ_STR(s->pools[0].affinity_header, STR("x-s"));
    EXPECT_EQ_U32(s->pools[0].ceiling, LABEL_CONFIDENTIAL);
    EXPECT_EQ_STR(s->pools[0].region, STR("de"));
    EXPECT_FALSE(s->pools[0].external);
    EXPECT_EQ_U32(s->pools[1].members[0].upstream, 1);
    EXPECT_EQ_U32(s->pools[1].members[0].weight, 1);
    EXPECT_EQ_U32(s->pools[1].ceiling, LABEL_PUBLIC);
    EXPECT_TRUE(s->pools[1].external);
    EXPECT_EQ_STR(s->models[0].name, STR("m"));
    EXPECT_EQ_U32(s->models[0].n_pools, 2);
    EXPECT_EQ_U32(s->models[0].pools[0], 1);
    EXPECT_EQ_U32(s->models[0].latency_gate_ms, 1500);
    EXPECT_EQ_U32(s->models[0].on_slow, SETTINGS_SLOW_NEXT);
    EXPECT_EQ_U32(s->default_label, LABEL_INTERNAL);
    EXPECT_EQ_STR(s->label_header, STR("x-l"));
    EXPECT_EQ_U32(s->n_rules, 2);
    EXPECT_EQ_STR(r->name, STR("r"));
    EXPECT_EQ_STR(r->models[0], STR("m"));
    EXPECT_EQ_STR(r->teams[0], STR("t"));
    EXPECT_EQ_U32(r->n_keys, 2);
    EXPECT_TRUE(r->has_label_at_most);
    EXPECT_EQ_U32(r->label_at_most, LABEL_PUBLIC);
    EXPECT_EQ_U64(r->body_bytes_max, 65536);
    EXPECT_EQ_U32(r->pools[0], 1);
    EXPECT_EQ_STR(r->regions[1], STR("de"));
    EXPECT_FALSE(r->deny);
    EXPECT_TRUE(s->rules[1].deny);
    EXPECT_FALSE(s->rules[1].has_label_at_most);
}

static void expect_books(const struct settings *s)
{
    const struct prices_row *p = &s->prices.rows[0];

    EXPECT_EQ_STR(s->limits[0].subject, STR("key:k_1"));
    EXPECT_EQ_U64(s->limits[0].requests_per_minute, 1);
    EXPECT_EQ_U64(s->limits[0].tokens_per_minute, 2);
    EXPECT_EQ_U32(s->limits[0].parallel, 3);
    EXPECT_EQ_I64(s->limits[0].money_nano, INT64_C(4500000000));
    EXPECT_EQ_U32(s->limits[0].period, LIMITS_DAY);
    EXPECT_EQ_STR(p->provider, STR("cloud"));
    EXPECT_EQ_STR(p->model, STR("b"));
    EXPECT_EQ_STR(p->currency, STR("EUR"));
    EXPECT_EQ_I64(p->input_nano, 1000);
    EXPECT_EQ_I64(p->cached_nano, 500);
    EXPECT_EQ_I64(p->output_nano, 2000);
    EXPECT_EQ_I64(p->reasoning_nano, 3000);
    EXPECT_EQ_I64(p->request_nano, 1);
    EXPECT_EQ_STR(p->valid_from, STR("2026-08-01"));
    EXPECT_EQ_STR(p->source, STR("s"));
    EXPECT_EQ_I64(p[1].cached_nano, -1);
    EXPECT_EQ_I64(p[1].reasoning_nano, -1);
}

TEST(every_setting_is_reached)
{
    struct temp_folder folder;
    struct config_file file;
    char path[512];

    open_everything(&folder, path);
    file = load(path);
    expect_top(file.settings, folder.path);
    expect_upstreams(file.settings, folder.path);
    expect_policy(file.settings);
    expect_books(file.settings);
    config_file_free(file.settings);
    temp_folder_close(&folder);
}

static void print_to(const struct config_file *file, const char *path, struct buf *out)
{
    buf_init(out, OUT_BYTES);
    config_print_settings(file, path, out);
    EXPECT_OK(buf_status(out));
}

TEST(the_print_reads_as_the_same_settings_and_hides_secrets)
{
    struct temp_folder folder;
    struct config_file file;
    struct config_file again;
    struct buf first;
    struct buf second;
    char path[512];

    open_everything(&folder, path);
    file = load(path);
    print_to(&file, path, &first);
    EXPECT_TRUE(strstr(buf_c(&first), "sk-") == NULL);
    EXPECT_CONTAINS(buf_c(&first), "key_env: KONTOR_TEST_KEY\n");
    EXPECT_CONTAINS(buf_c(&first), "api_keys: [\"<redacted>\"]\n");
    temp_folder_path(&folder, "again.yaml", path);
    temp_folder_text(&folder, "again.yaml", buf_c(&first));
    again = load(path);
    print_to(&again, path, &second);
    EXPECT_EQ_STR(buf_str(&second), buf_str(&first));
    expect_upstreams(again.settings, folder.path);
    expect_policy(again.settings);
    expect_books(again.settings);
    buf_done(&first);
    buf_done(&second);
    config_file_free(file.settings);
    config_file_free(again.settings);
    temp_folder_close(&folder);
}

TEST(price_presets_stand_before_own_rows)
{
    struct temp_folder folder;
    struct config_file file;
    const struct prices *p;
    char path[512];

    temp_folder_open(&folder);
    temp_folder_text(&folder, "f.yaml",
                     BASE
                     "price_presets: true\nprices: [{provider: own, model: m, input: 1, output: "
                     "1, valid_from: 2026-01-01, source: x}]\n");
    temp_folder_path(&folder, "f.yaml", path);
    file = load(path);
    p = &file.settings->prices;
    EXPECT_EQ_U32(p->n_rows, prices_presets()->n_rows + 1);
    EXPECT_EQ_STR(p->rows[0].provider, prices_presets()->rows[0].provider);
    EXPECT_EQ_STR(p->rows[p->n_rows - 1].model, STR("m"));
    EXPECT_TRUE(p->version != prices_presets()->version && p->version != 0);
    config_file_free(file.settings);
    temp_folder_close(&folder);
}

TEST(the_sample_is_clean)
{
    struct config_file file;

    setenv("CLOUD_API_KEY", "sk-x", 1);
    file = load(test_path("../conf/kontor.yaml"));
    EXPECT_EQ_U32(file.settings->n_upstreams, 2);
    EXPECT_EQ_U32(file.settings->n_models, 2);
    config_file_free(file.settings);
}

TEST(an_unreadable_file_is_an_error_without_a_place)
{
    struct config_file_options options = {.path = "/no/such/kontor.yaml"};
    struct config_file file = {0};
    struct config_report report;

    config_report_init(&report, options.path);
    EXPECT_STATUS(config_file_load(&options, &report, &file), E_INVALID);
    EXPECT_EQ_U32(report.n_errors, 1);
    EXPECT_EQ_U32(report.issues[0].mark.line, 0);
    EXPECT_EQ_STR(report.issues[0].text, STR("cannot be read: No such file or directory"));
    config_report_done(&report);
}

/* --- broken files --- */

static bool is_inside(struct str text, struct yaml_mark mark)
{
    uint32_t line = 1;
    uint32_t column = 1;

    for (size_t i = 0; i <= text.len; i++) {
        if (line == mark.line && column == mark.column) {
            return true;
        }
        if (i < text.len && text.ptr[i] == '\n') {
            line++;
            column = 1;
        } else if (i < text.len && ((unsigned char)text.ptr[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    return false;
}

static void expect_marks_inside(struct str text)
{
    struct config_file_options options = {.path = "f", .without_secrets = true};
    struct config_file file = {0};
    struct config_report report;
    enum status rc;

    config_report_init(&report, "f");
    rc = config_file_parse(&options, text, &report, &file);
    EXPECT_TRUE((rc == OK) == (report.n_errors == 0));
    for (uint32_t i = 0; i < report.n_issues; i++) {
        if (!is_inside(text, report.issues[i].mark)) {
            FAIL("%u:%u %.*s is outside of:\n%.*s", report.issues[i].mark.line,
                 report.issues[i].mark.column, STR_ARG(report.issues[i].text), STR_ARG(text));
        }
    }
    config_file_free(file.settings);
    config_report_done(&report);
}

struct draws {
    uint64_t position;
};

/* 0..n-1 */
static size_t draw(struct draws *d, size_t n)
{
    return (size_t)(rng_uniform(20260801, 0, d->position++) * (double)n);
}

static void mutate(struct draws *d, struct buf *text)
{
    static const char specials[] = ":-[]{}#&*!|>'\"%@`,? \n\t\\\0\xff\xc3~0123456789abcxyz";
    size_t at = draw(d, text->len);
    size_t n = draw(d, 20);

    if (n > text->len - at) {
        n = text->len - at;
    }
    switch (draw(d, 4)) {
    case 0: // another byte
        text->ptr[at] = specials[draw(d, sizeof(specials) - 1)];
        break;
    case 1: // cut a piece out
        memmove(text->ptr + at, text->ptr + at + n, text->len - at - n);
        text->len -= n;
        break;
    case 2: // cut the end off
        text->len = at + 1;
        break;
    default: // copy a piece elsewhere
        memmove(text->ptr + draw(d, text->len - n + 1), text->ptr + at, n);
        break;
    }
}

TEST(mutated_files_report_places_inside_the_file)
{
    struct str sample = test_read_file(test_path("../conf/kontor.yaml"));
    struct draws d = {0};

    for (int i = 0; i < 3000; i++) {
        const char *from = i % 2 == 0 ? sample.ptr : everything;
        struct buf text;

        buf_init(&text, 1 << 16);
        buf_append_c(&text, from);
        for (size_t k = draw(&d, 4) + 1; k > 0 && text.len > 0; k--) {
            mutate(&d, &text);
        }
        expect_marks_inside(buf_str(&text));
        buf_done(&text);
    }
}

TEST(every_prefix_of_a_file_is_reported_inside_it)
{
    struct str text = {everything, sizeof(everything) - 1};

    for (size_t n = 1; n < text.len; n += 3) {
        expect_marks_inside(str_slice(text, 0, n));
    }
}

/* --- the file of --auth-config --- */

static const char *auth_report(struct temp_folder *folder, const char *text, struct settings *s)
{
    static char lines[4096];
    struct config_file_options options = {0};
    struct config_report report;
    struct buf out;
    char path[512];

    temp_folder_text(folder, "auth", text);
    temp_folder_path(folder, "auth", path);
    options.path = path;
    config_report_init(&report, "f");
    EXPECT_TRUE((config_auth_load(&options, &report, s) == OK) == (report.n_errors == 0));
    buf_init(&out, sizeof(lines) - 1);
    config_report_print(&report, &out);
    memcpy(lines, buf_c(&out), out.len + 1);
    buf_done(&out);
    config_report_done(&report);
    return lines;
}

#define LITERAL                                                                                    \
    ": warning: api_keys: a secret in the file itself is seen by everybody who reads, copies or "  \
    "commits it; use api_keys_file or api_keys_env\n"

TEST(auth_config_is_read_as_json_and_yaml)
{
    struct settings s = {.arena = arena_create(8 << 20)};
    struct temp_folder folder;

    temp_folder_open(&folder);
    EXPECT_EQ_C_STR(auth_report(&folder,
                                "{\n\t\"type\": \"api_key\",\n\t\"api_keys\": [\"sk-1\", "
                                "\"sk-2\"],\n\t\"header_name\": \"X-Auth\",\n\t\"header_prefix\": "
                                "\"\"\n}\n",
                                &s),
                    "f:3:15" LITERAL "f:3:23" LITERAL);
    EXPECT_EQ_U32(s.n_auth_keys, 2);
    EXPECT_EQ_STR(s.auth_keys[1], STR("sk-2"));
    EXPECT_EQ_STR(s.auth_header, STR("X-Auth"));
    EXPECT_EQ_STR(s.auth_prefix, STR(""));
    setenv("KONTOR_TEST_KEYS", "sk-d,sk-e", 1);
    EXPECT_EQ_C_STR(auth_report(&folder, "api_keys_env: KONTOR_TEST_KEYS\n", &s), "");
    EXPECT_EQ_U32(s.n_auth_keys, 4);
    EXPECT_EQ_STR(s.auth_header, STR("authorization"));
    EXPECT_EQ_STR(s.auth_prefix, STR("Bearer"));
    EXPECT_EQ_C_STR(auth_report(&folder, "header_name: x-key\n", &s),
                    "f:1:1: error: no keys: name some with api_keys_file, api_keys_env or "
                    "api_keys\n");
    EXPECT_EQ_C_STR(auth_report(&folder, "api_key: [x]\n", &s),
                    "f:1:1: error: unknown key \"api_key\"; did you mean \"api_keys\"?\n");
    EXPECT_EQ_STR(s.auth_header, STR("authorization"));
    arena_destroy(s.arena);
    temp_folder_close(&folder);
}

/* --- what is made from the table --- */

TEST(the_reference_page_is_up_to_date)
{
    struct str page = test_read_file(test_path("../docs/config.md"));
    struct buf out;

    buf_init(&out, OUT_BYTES);
    config_reference_page(&out);
    if (!str_eq(buf_str(&out), page)) {
        FAIL("docs/config.md differs: build/kontor config reference > docs/config.md");
    }
    buf_done(&out);
}

TEST(the_json_schema_is_json)
{
    struct arena *arena = arena_create(8 << 20);
    const struct json_value *root = NULL;
    const struct json_value *properties;
    struct error err;
    struct buf out;

    buf_init(&out, OUT_BYTES);
    config_reference_schema(&out);
    EXPECT_OK(json_parse(arena, buf_str(&out), NULL, &root, &err));
    properties = json_get(root, STR("properties"));
    EXPECT_EQ_U32(properties->n_items, config_schema.n_keys);
    EXPECT_EQ_STR(json_string_or(json_get(json_get(properties, STR("durability")), STR("default")),
                                 STR("")),
                  STR("process"));
    buf_done(&out);
    arena_destroy(arena);
}
