/* app/config_*: every kind of fault of a configuration has its place and its words. */
#include "app/config_external.h"
#include "app/config_file.h"
#include "base/check.h"
#include "support/certificates.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
        {"upstreams: [{name: u, url: 'https://api.cloud.example/v1'}]\n" REST,
         "f:2:28: warning: pool p does not say whether it is external, and its member u is at "
         "api.cloud.example: unless external is true, requests up to the pool's ceiling go there "
         "without a rule; write external: true, or external: false where that is meant\n"},
        {UP "pools: [{name: p, members: [u], external: false}, {name: q, members: [u], external: "
            "true}]\nmodels: [{name: m, pools: [p, q]}]\n",
         "f:2:70: error: upstream u is in pool p, which is not external, and in pool q, which is "
         "external: a server is either outside of the house or not\n"},
        {"upstreams: [{name: u, url: 'http://a/v1'}, {name: v, url: 'http://A/v1'}]\n"
         "pools: [{name: p, members: [u]}, {name: q, members: [v], external: true}]\n"
         "models: [{name: m, pools: [p, q]}]\n",
         "f:2:53: warning: upstream v has the url of u, but pool q is external and pool p is not "
         "external: the same server stands on both sides\n"},
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

TEST(hosts_that_look_public)
{
    static const char *const outside[] = {
        "api.openai.com", "api.openai.com.",      "x.internal.example", "8.8.8.8",     "172.32.0.1",
        "100.128.0.1",    "2001:4860:4860::8888", "::ffff:8.8.8.8",     "notlocal.de", "1.2.3",
    };
    static const char *const inside[] = {
        "localhost",
        "rack-1",
        "rack-1.",
        "gpu.corp.local",
        "a.b.INTERNAL",
        "x.home.arpa",
        "127.0.0.1",
        "10.1.2.3",
        "172.31.255.1",
        "192.168.0.9",
        "169.254.1.1",
        "100.64.0.1",
        "0.0.0.0",
        "::1",
        "::",
        "fd00::1",
        "fe80::1%eth0",
        "febf::1",
        "",
        "::ffff:10.0.0.1",
    };

    for (size_t i = 0; i < ARRAY_COUNT(outside); i++) {
        if (!config_external_looks_public(str_from_c(outside[i]))) {
            FAIL("%s counts as inside", outside[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(inside); i++) {
        if (config_external_looks_public(str_from_c(inside[i]))) {
            FAIL("%s counts as outside", inside[i]);
        }
    }
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
         "free\n"
         "f:4:28: warning: money: without state_dir there is no ledger: the budget of team:x "
         "begins at zero with every start\n"},
        {BASE "prices: [{provider: x, model: m, input: 1, output: 1, valid_from: 2026-01-01, "
              "source: x}]\n",
         "f:1:20: warning: no price of provider own is known: requests to upstream u count as "
         "free\n"
         "f:4:21: warning: provider: no upstream has the provider x\n"},
    };

    EXPECT_REPORTS(cases);
}

/* Two providers, one model that both answer (the second one under another name), and one that only
 * the first one has. */
#define TWO                                                                                        \
    "upstreams:\n"                                                                                 \
    "  - {name: u, url: http://127.0.0.1:1/v1, provider: a}\n"                                     \
    "  - {name: v, url: http://127.0.0.1:2/v1, provider: b, models: {m: there}}\n"                 \
    "  - {name: w, url: http://127.0.0.1:3/v1, provider: b, models: {m: there}}\n"                 \
    "pools: [{name: p, members: [u]}, {name: q, members: [v, w]}]\n"                               \
    "models: [{name: m, pools: [p, q]}, {name: n, pools: [p]}]\n"

#define PRICE(provider, model, currency)                                                           \
    "  - {provider: " provider ", model: " model ", currency: " currency                           \
    ", input: 1, output: 1, valid_from: 2026-01-01, source: x}\n"

TEST(models_without_a_price_are_named)
{
    static const struct fault_case cases[] = {
        {TWO "prices:\n" PRICE("a", "'*'", "USD") PRICE("b", "there", "USD"), ""},
        {TWO "prices:\n" PRICE("a", "m", "USD") PRICE("b", "m", "USD"),
         "f:6:17: warning: no price of model there at provider b is known: requests for m to "
         "upstream v count as free\n"
         "f:6:43: warning: no price of model n at provider a is known: requests for n to upstream "
         "u count as free\n"},
    };

    EXPECT_REPORTS(cases);
}

#define MIXED TWO "prices:\n" PRICE("a", "'*'", "USD") PRICE("b", "'*'", "CNY") "state_dir: s\n"
#define REFUSED(subject)                                                                           \
    "error: money: a budget counts one currency, but of what " subject                             \
    " may use, provider a is priced in USD and b in CNY; write all prices in one\n"

TEST(budgets_over_several_currencies_are_refused)
{
    static const struct fault_case cases[] = {
        {MIXED, ""},
        {MIXED "limits: [{subject: team:x, parallel: 5}]\n", ""},
        {MIXED "limits: [{subject: provider:b, money: '5'}]\n", ""},
        {MIXED "limits: [{subject: model:n, money: '5'}]\n", ""},
        {MIXED "limits: [{subject: team:x, money: '5'}]\n", "f:11:35: " REFUSED("team:x")},
        {MIXED "limits: [{subject: key:k_1, money: '5'}]\n", "f:11:36: " REFUSED("key:k_1")},
        {MIXED "limits: [{subject: model:m, money: '5'}]\n", "f:11:36: " REFUSED("model:m")},
        {MIXED "auth: {keys_file: k}\n",
         "f:7:1: warning: prices are in USD and CNY: a budget of a key adds them up as if they "
         "were one currency\n"},
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
    EXPECT_EQ_C_STR(report_of("upstreams: [{name: u, url: http://a, key_env: "
                              "KONTOR_TEST_KEY}]\n" REST),
                    "f:1:28: warning: the key travels unencrypted: the url begins with http://\n");
    EXPECT_EQ_C_STR(report_of("upstreams: [{name: u, url: http://localhost, key_env: "
                              "KONTOR_TEST_KEY}]\n" REST),
                    "");
}

TEST(the_sample_is_silent)
{
    setenv("CLOUD_API_KEY", "sk-x", 1);
    EXPECT_EQ_C_STR(report_of(test_read_file(test_path("../conf/kontor.yaml")).ptr), "");
}
