/* app/config_*: a file becomes settings; every kind of fault has its place and words; printing and
 * reading again gives the same; broken files never do harm. */
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

/* The report of a text, "f:" before each line; "" when there is nothing to say. */
static const char *report_of(const char *text)
{
    static char lines[16384];
    struct config_file_options options = {.path = "f"};
    struct config_file file = {0};
    struct config_report report;
    struct buf out;

    buf_init(&out, sizeof(lines) - 1);
    config_report_init(&report, "f");
    if (config_file_parse(&options, str_from_c(text), &report, &file) == OK) {
        config_file_free(file.settings);
    }
    config_report_print(&report, &out);
    memcpy(lines, buf_c(&out), out.len + 1);
    buf_done(&out);
    config_report_done(&report);
    return lines;
}

struct fault_case {
    const char *text;
    const char *want;
};

static void expect_reports(const struct fault_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        EXPECT_EQ_C_STR(report_of(cases[i].text), cases[i].want);
    }
}

#define EXPECT_REPORTS(cases) expect_reports(cases, sizeof(cases) / sizeof((cases)[0]))

TEST(the_smallest_file_is_silent)
{
    EXPECT_EQ_C_STR(report_of(BASE), "");
}

TEST(faults_of_shape)
{
    static const struct fault_case cases[] = {
        {"- a\n", "f:1:1: error: the file must be a mapping: lines of the form \"key: value\"\n"},
        {"a: [\n", "f:1:5: error: not YAML: did not find expected node content while parsing a "
                   "flow node\n"},
        {"{}\n", "f:1:1: error: the file needs \"upstreams\"\n"
                 "f:1:1: error: the file needs \"pools\"\n"
                 "f:1:1: error: the file needs \"models\"\n"},
        {"lisen: [127.0.0.1:1]\n" BASE,
         "f:1:1: error: unknown key \"lisen\"; did you mean \"listen\"?\n"},
        {"colour: red\n" BASE, "f:1:1: error: unknown key \"colour\" in the file\n"},
        {"listen: 127.0.0.1:1\n" BASE,
         "f:1:9: error: listen must be a list: [a, b], or lines that begin with \"- \"; this is a "
         "single value\n"},
        {"auth: [1]\n" BASE, "f:1:7: error: auth must be a mapping: lines of the form \"key: "
                             "value\"; this is a list\n"},
        {"durability: {a: b}\n" BASE,
         "f:1:13: error: durability must be one value; this is a mapping\n"},
        {"listen: [[a]]\n" BASE,
         "f:1:10: error: a listener must be a mapping: lines of the form \"key: value\"\n"},
        {"state_dir:\n" BASE,
         "f:1:1: error: state_dir has no value; write one, or leave the line out\n"},
        {"state_dir: \"a\\nb\"\n" BASE,
         "f:1:12: error: state_dir: a line break or control character in the text\n"},
        {"policy:\nlimits:\nlisten: ~\n" BASE, ""},
        {"listen: ['a:1', 'a:2', 'a:3', 'a:4', 'a:5']\n" BASE,
         "f:1:38: error: listen: more than 4 entries\n"},
    };

    EXPECT_REPORTS(cases);
}

TEST(faults_of_values)
{
    static const struct fault_case cases[] = {
        {"server: {inflight: many}\n" BASE,
         "f:1:20: error: inflight: \"many\" is not a whole number\n"},
        {"server: {inflight: 0}\n" BASE, "f:1:20: error: inflight: 0 is outside of 1 to 1000000\n"},
        {"server: {inflight: 99999999999999999999}\n" BASE,
         "f:1:20: error: inflight: \"99999999999999999999\" is not a whole number; this one is "
         "too large or too fine\n"},
        {"server: {drain_timeout: 5}\n" BASE,
         "f:1:25: error: drain_timeout: \"5\" is not a duration: a whole number with ms, s, m or "
         "h, for example 500ms or 2s\n"},
        {"server: {drain_timeout: 25h}\n" BASE,
         "f:1:25: error: drain_timeout: 25h is outside of 1ms to 24h\n"},
        {"server: {max_body: 8M}\n" BASE,
         "f:1:20: error: max_body: \"8M\" is not a size: a whole number with KiB, MiB, GiB, kB, "
         "MB or GB, for example 8MiB\n"},
        {"failover: {retry_budget: 20}\n" BASE,
         "f:1:26: error: retry_budget: \"20\" is not a share: a whole number with %, for example "
         "20%\n"},
        {"failover: {retry_budget: 101%}\n" BASE,
         "f:1:26: error: retry_budget: 101% is outside of 0% to 100%\n"},
        {"durability: power_loss\n" BASE,
         "f:1:13: error: durability: unknown word \"power_loss\"; did you mean \"power-loss\"? "
         "Known are process, power-loss\n"},
        {"durability: raid\n" BASE,
         "f:1:13: error: durability: unknown word \"raid\"; known are process, power-loss\n"},
        {"auth: {keys_file: k, keys: on}\n" BASE,
         "f:1:28: error: keys: write true or false, not \"on\"\n"},
        {"auth: {header: \"x y\"}\n" BASE,
         "f:1:16: error: header: \"x y\" is no name of an HTTP header\n"},
        {"listen: [127.0.0.1]\n" BASE,
         "f:1:10: error: address: \"127.0.0.1\" is not HOST:PORT, for example 127.0.0.1:8080 or "
         "[::1]:8080\n"},
        {"listen: ['127.0.0.1:70000']\n" BASE,
         "f:1:10: error: address: the port of \"127.0.0.1:70000\" is not between 1 and 65535\n"},
        {"limits: [{subject: group:x, parallel: 1}]\n" BASE,
         "f:1:20: error: subject: \"group:x\" is no subject; write key:ID, team:NAME, model:NAME "
         "or provider:NAME\n"},
        {"limits: [{subject: team:x, money: 1e3}]\n" BASE,
         "f:1:35: error: money: \"1e3\" is not an amount: a decimal with at most 9 places, for "
         "example \"500.00\"\n"
         "f:1:10: warning: this limit limits nothing\n"},
        {"prices: [{provider: own, model: m, input: 1, output: 0.0001, valid_from: 2026-02-30, "
         "source: x, currency: usd}]\n" BASE,
         "f:1:54: error: output: \"0.0001\" is not a price of a million tokens: a decimal with at "
         "most 3 places, for example \"0.42\"; this one is too large or too fine\n"
         "f:1:74: error: valid_from: \"2026-02-30\" is no day; write it like 2026-08-01\n"
         "f:1:107: error: currency: \"usd\" is no currency; write three capital letters like "
         "USD\n"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        // one case has its warning before the error: the order is that of the file
        const char *got = report_of(cases[i].text);

        if (strstr(cases[i].text, "1e3") != NULL) {
            EXPECT_CONTAINS(got, "f:1:35: error: money: \"1e3\" is not an amount");
            EXPECT_CONTAINS(got, "f:1:10: warning: this limit limits nothing\n");
        } else {
            EXPECT_EQ_C_STR(got, cases[i].want);
        }
    }
}

#define REST "pools: [{name: p, members: [u]}]\nmodels: [{name: m, pools: [p]}]\n"
#define UP "upstreams: [{name: u, url: http://127.0.0.1:1/v1}]\n"

TEST(faults_of_upstreams)
{
    static const struct fault_case cases[] = {
        {"upstreams: []\n" REST,
         "f:1:1: error: upstreams is empty; name at least one\n"
         "f:2:29: error: upstream: there is no upstream \"u\" under upstreams\n"},
        {"upstreams: [{url: http://127.0.0.1:1/v1}]\n" REST,
         "f:1:13: error: an upstream needs \"name\"\n"
         "f:2:29: error: upstream: there is no upstream \"u\" under upstreams\n"},
        {"upstreams: [{name: u}]\n" REST,
         "f:1:13: error: an upstream needs \"url\" (or kind: local with \"model\")\n"},
        {"upstreams: [{name: u, url: 10.0.0.1}]\n" REST,
         "f:1:28: error: url: \"10.0.0.1\" is no URL; write one like http://10.0.0.11:8000/v1\n"},
        {"upstreams: [{name: u, url: 'http://a:99999/v1'}]\n" REST,
         "f:1:28: error: url: \"http://a:99999/v1\" is no URL; write one like "
         "http://10.0.0.11:8000/v1\n"},
        {"upstreams: [{name: u, url: 'http://x@a/v1'}]\n" REST,
         "f:1:28: error: url: \"http://x@a/v1\" has a user or password in it; use key_file or "
         "key_env\n"},
        {"upstreams: [{name: u, url: 'http://a/v1?x=1'}]\n" REST,
         "f:1:28: error: url: \"http://a/v1?x=1\" has a query or fragment; leave it out\n"},
        {"upstreams: [{name: u, url: http://a/v1/chat/completions}]\n" REST,
         "f:1:28: error: url: \"http://a/v1/chat/completions\" ends in /chat/completions; write "
         "only what stands before it\n"},
        {"upstreams:\n  - {name: u, url: http://a/v1}\n  - {name: u, url: http://b/v1}\n" REST,
         "f:3:12: error: duplicate name \"u\"; the first one is on line 2\n"},
        {"upstreams: [{name: u, url: http://a/v1}, {name: w, url: http://b}]\n" REST,
         "f:1:49: warning: upstream w is in no pool: nothing is sent to it\n"},
        {"upstreams: [{name: u, kind: local}]\n" REST,
         "f:1:29: error: a local upstream needs \"model\": a checkpoint folder, preset:NAME or "
         "builtin\n"},
        {"upstreams: [{name: u, kind: local, model: builtin, url: http://a}]\n" REST,
         "f:1:52: error: url is for kind: openai; this upstream is of kind: local\n"},
        {"upstreams: [{name: u, model: builtin, url: http://a}]\n" REST,
         "f:1:23: error: model is for kind: local; this upstream is of kind: openai\n"},
        {"upstreams: [{name: u, kind: local, model: /no/such/folder}]\n" REST,
         "f:1:43: error: model: cannot read /no/such/folder: No such file or directory\n"},
        {"upstreams: [{name: u, kind: local, model: builtin}, {name: w, kind: local, model: "
         "builtin}]\n" REST,
         "f:1:69: error: a second local upstream; one process runs one engine\n"},
        {"upstreams: [{name: u, url: http://a, tls: {server_name: x}}]\n" REST,
         "f:1:38: warning: tls has no effect: the url begins with http://\n"},
        {"upstreams: [{name: u, url: https://a, tls: {insecure: true}}]\n" REST,
         "f:1:55: warning: insecure: any server may pretend to be this upstream and read its "
         "requests; name its authority in ca instead\n"},
        {"upstreams: [{name: u, url: https://a, tls: {key: /no/such}}]\n" REST,
         "f:1:45: error: key without certificate\n"
         "f:1:50: error: key: cannot read /no/such: No such file or directory\n"},
        {"upstreams: [{name: u, url: http://a, models: {a: [b]}}]\n" REST,
         "f:1:50: error: models must be one value; this is a list\n"},
        {"upstreams: [{name: u, url: http://a, health: {path: health}}]\n" REST,
         "f:1:53: error: path: write a path that begins with /, or none\n"},
        {"upstreams: [{name: u, url: http://a, timeout: {}}]\n" REST,
         "f:1:38: error: unknown key \"timeout\"; did you mean \"timeouts\"?\n"},
    };

    EXPECT_REPORTS(cases);
}

TEST(faults_of_pools_models_and_rules)
{
    static const struct fault_case cases[] = {
        {UP "pools: [{name: p, members: []}]\nmodels: [{name: m, pools: [p]}]\n",
         "f:2:19: error: members is empty; name at least one\n"},
        {UP "pools: [{name: p}]\nmodels: [{name: m, pools: [p]}]\n",
         "f:2:9: error: a pool needs \"members\"\n"},
        {UP "pools: [{name: p, members: [u, u]}]\nmodels: [{name: m, pools: [p]}]\n",
         "f:2:32: error: duplicate upstream \"u\"; the first one is on line 2\n"},
        {UP "pools: [{name: p, members: [{upstream: u, weight: 1001}]}]\nmodels: [{name: m, "
            "pools: [p]}]\n",
         "f:2:51: error: weight: 1001 is outside of 1 to 1000\n"},
        {UP "pools: [{name: p, members: [u], external: true, ceiling: private}]\nmodels: [{name: "
            "m, pools: [p]}]\npolicy: {rules: [{name: r, allow: [p]}]}\n",
         "f:2:58: warning: ceiling: pool p is external and may see private requests\n"},
        {UP "pools: [{name: p, members: [u]}, {name: q, members: [u]}]\nmodels: [{name: m, "
            "pools: [p]}]\n",
         "f:2:41: warning: pool q is named by no model: nothing is sent to it\n"},
        {"upstreams: [{name: u, url: http://a, region: eu}]\npools: [{name: p, members: [u], "
         "region: de}]\nmodels: [{name: m, pools: [p]}]\n",
         "f:2:41: warning: region: pool p says de, but its member u is in eu\n"},
        {UP "pools: [{name: private, members: [u]}]\nmodels: [{name: m, pools: [privat]}]\n",
         "f:3:28: error: pools: there is no pool \"privat\"; did you mean \"private\"?\n"},
        {UP "pools: [{name: p, members: [u]}]\nmodels: [{name: m, pools: []}]\n",
         "f:3:20: error: pools is empty; name at least one\n"},
        {UP "pools: [{name: p, members: [u]}]\nmodels: [{name: m}]\n",
         "f:3:10: error: a model needs \"pools\"\n"},
        {UP "pools: [{name: p, members: [u]}]\nmodels: [{name: m, pools: [p, p]}]\n",
         "f:3:31: error: pools: \"p\" stands here twice\n"},
        {UP "pools: [{name: p, members: [u], external: true}]\nmodels: [{name: m, pools: [p]}]\n",
         "f:3:27: warning: all pools of model m are external and no rule allows one: its requests "
         "are refused\n"},
        {UP "pools: [{name: p, members: [u]}]\nmodels: [{name: m, pools: [p], on_slow: hedge}]\n",
         "f:3:41: warning: on_slow has no effect without latency_gate\n"},
        {BASE "policy: {rules: [{name: a}]}\n",
         "f:4:18: error: a rule needs \"allow\" (a list of pools) or deny: true\n"},
        {BASE "policy: {rules: [{name: a, allow: [p], deny: true}]}\n",
         "f:4:40: error: deny beside allow: leave one out\n"},
        {BASE "policy: {rules: [{name: a, when: {models: [mm]}, deny: true}]}\n",
         "f:4:44: error: models: there is no model \"mm\"; did you mean \"m\"?\n"},
        {BASE "policy: {rules: [{name: a, when: {models: [other]}, deny: true}]}\n",
         "f:4:44: error: models: there is no model \"other\" under models\n"},
        {BASE "policy: {rules: [{name: a, when: {teams: [t]}, allow: [p], regions: [eu]}]}\n",
         "f:4:70: warning: regions: no pool or upstream is in eu: the rule allows nothing there\n"},
        {BASE "policy:\n  rules:\n    - {name: a, allow: [p]}\n    - {name: b, deny: true}\n",
         "f:7:7: warning: this rule is never reached: rule a before it matches everything\n"},
    };

    EXPECT_REPORTS(cases);
}

TEST(faults_of_listeners_auth_limits_and_prices)
{
    static const struct fault_case cases[] = {
        {"auth: {keys_file: k}\nlisten: ['0.0.0.0:1']\n" BASE,
         "f:2:10: warning: other machines reach this address without TLS; add certificate and "
         "key, or listen on 127.0.0.1 behind a TLS proxy\n"},
        {"listen: ['a:1']\n" BASE,
         "f:1:10: warning: other machines reach this address without TLS; add certificate and "
         "key, or listen on 127.0.0.1 behind a TLS proxy\n"
         "f:1:10: warning: everybody who reaches this address may send requests; ask for keys "
         "(auth: {keys: true})\n"},
        {"listen: [{address: '127.0.0.1:1', certificate: /dev/null}]\n" BASE,
         "f:1:35: error: certificate and key belong together; key is missing\n"},
        {"listen: [{address: '127.0.0.1:1', certificate: /no/such, key: /dev/null}]\n" BASE,
         "f:1:48: error: certificate: cannot read /no/such: No such file or directory\n"},
        {"listen: [{address: '127.0.0.1:1', client_ca: /dev/null}]\n" BASE,
         "f:1:35: error: client_ca needs TLS: name certificate and key\n"},
        {"listen: ['127.0.0.1:1', '127.0.0.1:1']\n" BASE,
         "f:1:25: error: duplicate address \"127.0.0.1:1\"; the first one is on line 1\n"},
        {"auth: {keys: true}\n" BASE,
         "f:1:14: error: keys: they are kept in state_dir, which is not set; set it, or "
         "keys_file\n"},
        {"auth: {jwt: {jwks_url: http://a, jwks_file: /dev/null}}\n" BASE,
         "f:1:34: error: jwks_file beside jwks_url: leave one out\n"
         "f:1:45: error: jwks_file: /dev/null: the text is empty at line 1 column 1 (byte 0)\n"},
        {BASE "limits: [{subject: provider:x, parallel: 1}]\n",
         "f:4:20: warning: subject: nothing here is called provider:x: the limit has no "
         "effect\n"},
        {BASE "limits: [{subject: team:x}]\n", "f:4:10: warning: this limit limits nothing\n"},
        {BASE "prices:\n  - &p {}\n",
         "f:5:5: error: anchors (&p) are not supported; write the value out\n"},
        {BASE "prices:\n"
              "  - {provider: own, model: m, input: 1, output: 1, valid_from: 2026-01-01, source: "
              "x}\n"
              "  - {provider: own, model: m, input: 1, output: 1, valid_from: 2026-01-01, source: "
              "x}\n",
         "f:6:5: error: a second price of own, model m, from 2026-01-01\n"},
        {BASE "limits: [{subject: team:x, money: '5'}]\n",
         "f:1:20: warning: no price of provider own is known: requests to upstream u count as "
         "free\n"},
        {BASE "prices: [{provider: x, model: m, input: 1, output: 1, valid_from: 2026-01-01, "
              "source: x}]\n",
         "f:1:20: warning: no price of provider own is known: requests to upstream u count as "
         "free\n"
         "f:4:21: warning: provider: no upstream has the provider x\n"},
    };

    EXPECT_REPORTS(cases);
}

TEST(all_faults_come_together_in_the_order_of_the_file)
{
    EXPECT_EQ_C_STR(report_of("durability: x\nserver: {inflight: x}\n" UP
                              "pools: [{name: p, members: [x]}]\nmodels: [{name: m, pools: [x]}]\n"
                              "zzz: 1\n"),
                    "f:1:13: error: durability: unknown word \"x\"; known are process, power-loss\n"
                    "f:2:20: error: inflight: \"x\" is not a whole number\n"
                    "f:4:29: error: upstream: there is no upstream \"x\"; did you mean \"u\"?\n"
                    "f:5:28: error: pools: there is no pool \"x\"; did you mean \"p\"?\n"
                    "f:6:1: error: unknown key \"zzz\" in the file\n");
}

TEST(a_report_has_an_end)
{
    struct buf text;

    buf_init(&text, 1 << 20);
    for (int i = 0; i < 300; i++) {
        buf_printf(&text, "unknown%d: 1\n", i);
    }
    EXPECT_CONTAINS(report_of(buf_c(&text)), "f: 103 more\n");
    buf_done(&text);
}

TEST(certificates_and_key_sets_are_opened_as_at_the_start)
{
    struct temp_folder folder;
    struct certificates authority;
    struct certificate_files good;
    struct certificate_files old;
    char text[4096];
    char path[512];

    temp_folder_open(&folder);
    certificates_init(&authority, folder.path);
    certificates_issue(&authority, "good", "DNS:localhost", -1, 30, &good);
    certificates_issue(&authority, "old", "DNS:localhost", -30, -1, &old);
    temp_folder_text(&folder, "set.json", "{\"keys\": 1}");
    temp_folder_path(&folder, "set.json", path);
    snprintf(text, sizeof(text),
             "listen: [{address: '127.0.0.1:1', certificate: %s, key: %s, client_ca: %s}]\n" BASE,
             good.certificate, good.key, authority.ca);
    EXPECT_EQ_C_STR(report_of(text), "");
    snprintf(text, sizeof(text),
             "listen: [{address: '127.0.0.1:1', certificate: %s, key: %s}]\n" BASE,
             good.certificate, old.key);
    EXPECT_CONTAINS(report_of(text), "f:1:48: error: certificate: ");
    snprintf(text, sizeof(text),
             "listen: [{address: '127.0.0.1:1', certificate: %s, key: %s}]\n" BASE, old.certificate,
             old.key);
    EXPECT_CONTAINS(report_of(text), "f:1:48: error: certificate: ");
    EXPECT_CONTAINS(report_of(text), "expired");
    snprintf(text, sizeof(text), "upstreams: [{name: u, url: https://a, tls: {ca: %s}}]\n" REST,
             good.key);
    EXPECT_CONTAINS(report_of(text), "f:1:49: error: ca: ");
    snprintf(text, sizeof(text), "auth: {jwt: {jwks_file: %s}}\n" BASE, path);
    EXPECT_CONTAINS(report_of(text), "f:1:25: error: jwks_file: ");
    snprintf(text, sizeof(text), "auth: {keys_file: %s}\n" BASE, path);
    EXPECT_CONTAINS(report_of(text), "f:1:19: error: keys_file: ");
    certificates_done(&authority);
    temp_folder_close(&folder);
}

TEST(secrets_come_from_files_and_variables)
{
    struct temp_folder folder;
    char path[512];
    char text[4096];
    char want[4096];

    temp_folder_open(&folder);
    temp_folder_text(&folder, "key", "  sk-file-1 \n");
    temp_folder_text(&folder, "open", "sk-open\n");
    temp_folder_text(&folder, "bad", "sk with blank\n");
    temp_folder_text(&folder, "empty", "\n");
    temp_folder_path(&folder, "key", path);
    chmod(path, 0600);
    temp_folder_path(&folder, "bad", path);
    chmod(path, 0600);
    temp_folder_path(&folder, "empty", path);
    chmod(path, 0600);
    temp_folder_path(&folder, "open", path);
    chmod(path, 0644);
    setenv("KONTOR_TEST_KEY", "sk-env", 1);
    setenv("KONTOR_TEST_EMPTY", "", 1);
    unsetenv("KONTOR_TEST_MISSING");
#define KEY_CASE(line, wanted, ...)                                                                \
    snprintf(text, sizeof(text), "upstreams: [{name: u, url: https://a, " line "}]\n" REST,        \
             __VA_ARGS__);                                                                         \
    snprintf(want, sizeof(want), wanted, __VA_ARGS__);                                             \
    EXPECT_EQ_C_STR(report_of(text), want)
    KEY_CASE("key_file: %s/key", "%.0s", folder.path);
    KEY_CASE("key_file: %s/open",
             "f:1:49: warning: key_file: every user of this machine can read %s/open; chmod 600 "
             "it\n",
             folder.path);
    KEY_CASE("key_file: %s/missing",
             "f:1:49: error: key_file: cannot read %s/missing: No such file or directory\n",
             folder.path);
    KEY_CASE("key_file: %s/bad",
             "f:1:49: error: key_file: the secret has a blank or a character that is not ASCII at "
             "byte 3; secrets are visible ASCII\n%.0s",
             folder.path);
    KEY_CASE("key_file: %s/empty", "f:1:49: error: key_file: the secret is empty\n%.0s",
             folder.path);
    KEY_CASE("key_file: %s", "f:1:49: error: key_file: %s is not a file of at most 65536 bytes\n",
             folder.path);
    KEY_CASE("key_env: %s", "%.0s", "KONTOR_TEST_KEY");
    KEY_CASE("key_env: %s", "f:1:48: error: key_env: the environment variable %s is not set\n",
             "KONTOR_TEST_MISSING");
    KEY_CASE("key_env: %s", "f:1:48: error: key_env: the environment variable %s is empty\n",
             "KONTOR_TEST_EMPTY");
    KEY_CASE("key: %s",
             "f:1:44: warning: key: a secret in the file itself is seen by everybody who reads, "
             "copies or commits it; use key_file or key_env\n%.0s",
             "sk-literal");
    KEY_CASE("key_env: KONTOR_TEST_KEY, key_file: %s/key",
             "f:1:65: error: key_file beside key_env: both name the same secret; leave one "
             "out\n%.0s",
             folder.path);
    temp_folder_close(&folder);
}

TEST(a_key_over_plain_http_is_warned_about)
{
    setenv("KONTOR_TEST_KEY", "sk-env", 1);
    EXPECT_EQ_C_STR(report_of("upstreams: [{name: u, url: http://a.example, key_env: "
                              "KONTOR_TEST_KEY}]\n" REST),
                    "f:1:28: warning: the key travels unencrypted: the url begins with http://\n");
    EXPECT_EQ_C_STR(report_of("upstreams: [{name: u, url: http://localhost, key_env: "
                              "KONTOR_TEST_KEY}]\n" REST),
                    "");
}

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
    EXPECT_EQ_C_STR(report_of(test_read_file(test_path("../conf/kontor.yaml")).ptr), "");
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
