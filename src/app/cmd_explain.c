#include "app/cmd_explain.h"
#include "app/command.h"
#include "app/config_file.h"
#include "app/explain_record.h"
#include "base/check.h"
#include "base/json.h"
#include "net/permit.h"

#include <inttypes.h>
#include <stdio.h>

#define ARENA_BYTES_MAX (64u << 20)
#define OUT_BYTES_MAX (8u << 20)

static const struct option options[] = {
    {"config", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "FILE",
     "Decide again under this configuration. Without it the record alone is shown.", NULL, NULL, 0,
     0},
    {"line", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "N", "Line of an access log.", NULL, NULL, 1,
     1e15},
    {"request", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "ID",
     "Request id of a line of an access log.", NULL, NULL, 0, 0},
    {"json", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL, "Print JSON.", NULL, NULL, 0, 0},
};

const struct option_set cmd_explain_options = {
    .usage = "kontor explain RECORD [--config FILE] [options]",
    .about = "Say where a request could go and why. RECORD is the JSON object of a decision, a\n"
             "file that holds one, or an access log of the gateway; - reads standard input.",
    .positional = "RECORD",
    .options = options,
    .n_options = ARRAY_COUNT(options),
    .epilog = "example:\n"
              "  kontor explain access.log --request 5f0c... --config kontor.yaml\n"
              "exit codes: 0 explained, 1 the replay decides otherwise than the record, or the "
              "record\n"
              "or configuration cannot be read (the message says which), 2 wrong usage",
};

/* What is printed: of the record, or of the replay. */
struct verdict {
    enum policy_verdict verdict;
    struct str rule;
    struct policy_record_pool pools[SETTINGS_POOLS_MAX];
    uint32_t n_pools;
};

struct replay {
    bool done;          // there is a configuration
    bool same_settings; // of the record
    bool same;          // verdict, rule and pools as recorded
    bool second_agrees; // policy_permit says what policy_decide says
};

static struct verdict of_record(const struct policy_record *r)
{
    struct verdict v = {.verdict = r->verdict, .rule = r->rule, .n_pools = r->n_pools};

    for (uint32_t i = 0; i < r->n_pools; i++) {
        v.pools[i] = r->pools[i];
    }
    return v;
}

static bool is_candidate(const struct policy_decision *d, uint32_t pool)
{
    for (uint32_t i = 0; i < d->n_pools; i++) {
        if (d->pools[i] == pool) {
            return true;
        }
    }
    return false;
}

static struct verdict decide(const struct settings *s, const struct policy_facts *facts,
                             bool *ret_second_agrees)
{
    struct policy_decision d;
    struct verdict v = {.n_pools = 0};
    bool agrees = true;

    policy_decide(s, facts, &d);
    v.verdict = d.verdict;
    v.rule = d.rule;
    for (uint32_t i = 0; d.model != NULL && i < d.model->n_pools; i++) {
        const uint32_t pool = d.model->pools[i];
        struct permit permit;

        v.pools[i] = (struct policy_record_pool){.name = s->pools[pool].name,
                                                 .in = is_candidate(&d, pool),
                                                 .why = str_from_c(d.why[i])};
        agrees = agrees && (policy_permit(s, facts, &d, pool, &permit) == OK) == v.pools[i].in;
        v.n_pools++;
    }
    *ret_second_agrees = agrees;
    return v;
}

static bool same(const struct verdict *a, const struct verdict *b)
{
    bool equal = a->verdict == b->verdict && str_eq(a->rule, b->rule) && a->n_pools == b->n_pools;

    for (uint32_t i = 0; equal && i < a->n_pools; i++) {
        equal = a->pools[i].in == b->pools[i].in && str_eq(a->pools[i].name, b->pools[i].name);
    }
    return equal;
}

static void print_verdict(const struct verdict *v)
{
    printf("%s  %s, by the rule \"%.*s\"\n", v->verdict == POLICY_ALLOWED ? "yes" : "no ",
           policy_verdict_name(v->verdict), STR_ARG(v->rule));
    for (uint32_t i = 0; i < v->n_pools; i++) {
        const struct policy_record_pool *p = &v->pools[i];

        printf("  %s  %-20.*s  %.*s\n", p->in ? "yes" : "no ", STR_ARG(p->name), STR_ARG(p->why));
    }
}

static void print_facts(const struct policy_facts *f)
{
    printf("model %.*s, key %.*s, team %.*s, label %s (the key's ceiling: %s), %" PRIu64 " bytes\n",
           STR_ARG(f->model), STR_ARG(f->key_id.len > 0 ? f->key_id : STR("-")),
           STR_ARG(f->team.len > 0 ? f->team : STR("-")), label_name(f->label),
           label_name(f->ceiling), f->body_bytes);
}

static void print_text(const struct policy_record *record, const struct verdict *v,
                       const struct replay *r)
{
    const struct verdict recorded = of_record(record);

    print_facts(&record->facts);
    print_verdict(v);
    if (!r->done) {
        printf("As recorded. --config FILE decides again.\n");
        return;
    }
    if (r->same) {
        printf("Decided again: as recorded.\n");
    } else {
        printf("Decided again: not as recorded. The record says:\n");
        print_verdict(&recorded);
    }
    if (!r->same_settings) {
        printf("The configuration is not the one of the record (settings %016" PRIx64 ").\n",
               record->digest);
    }
    if (!r->second_agrees) {
        printf("The second look (at the permit) disagrees: this is a fault of the program.\n");
    }
}

static void print_json(const struct verdict *v, const struct replay *r)
{
    struct buf out;

    buf_init(&out, OUT_BYTES_MAX);
    buf_printf(&out, "{\"allowed\": %s, \"verdict\": \"%s\", \"rule\": ",
               v->verdict == POLICY_ALLOWED ? "true" : "false", policy_verdict_name(v->verdict));
    json_write_string(&out, v->rule);
    buf_append_c(&out, ", \"pools\": [");
    for (uint32_t i = 0; i < v->n_pools; i++) {
        buf_append_c(&out, i > 0 ? ", {\"name\": " : "{\"name\": ");
        json_write_string(&out, v->pools[i].name);
        buf_printf(&out, ", \"in\": %s, \"why\": ", v->pools[i].in ? "true" : "false");
        json_write_string(&out, v->pools[i].why);
        buf_append_byte(&out, '}');
    }
    buf_printf(&out, "], \"replayed\": %s", r->done ? "true" : "false");
    if (r->done) {
        buf_printf(&out, ", \"same\": %s, \"same_settings\": %s", r->same ? "true" : "false",
                   r->same_settings ? "true" : "false");
    }
    buf_append_c(&out, "}\n");
    fwrite(out.ptr, 1, out.len, stdout);
    buf_done(&out);
}

static int explain_record(const struct option_values *v, const struct policy_record *record,
                          const struct settings *settings)
{
    struct verdict shown = of_record(record);
    struct replay r = {.done = settings != NULL, .second_agrees = true};

    if (settings != NULL) {
        const struct verdict recorded = shown;

        shown = decide(settings, &record->facts, &r.second_agrees);
        r.same = same(&shown, &recorded);
        r.same_settings = settings->digest == record->digest;
    }
    if (option_flag(v, "json")) {
        print_json(&shown, &r);
    } else {
        print_text(record, &shown, &r);
    }
    return r.done && !(r.same && r.second_agrees) ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static int explain(const struct option_values *v, struct arena *arena)
{
    const struct explain_record_where where = {.record = option_positional(v),
                                               .line = option_count(v, "line"),
                                               .request_id = option_string(v, "request")};
    struct config_file_options config = {.path = option_string(v, "config"),
                                         .without_secrets = true};
    struct config_file file = {0};
    struct config_report report;
    struct policy_record record;
    struct error err = {0};
    int code;

    if (where.record == NULL) {
        command_failed("explain", "name the record: a JSON object, or a file");
        return EXIT_CODE_USAGE;
    }
    if (explain_record_find(&where, arena, &record, &err) != OK) {
        return command_failed("explain", err.text);
    }
    if (config.path != NULL) {
        config_report_init(&report, config.path);
        if (config_file_load(&config, &report, &file) != OK) {
            config_report_print_stderr(NULL, &report);
            config_report_done(&report);
            return command_failed("explain", "the configuration cannot be used");
        }
        config_report_done(&report);
    }
    code = explain_record(v, &record, file.settings);
    config_file_free(file.settings);
    return code;
}

int cmd_explain_run(int argc, char **argv)
{
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    struct option_values *v = NULL;
    int code = EXIT_CODE_OK;

    CHECK(arena != NULL);
    switch (option_parse(&cmd_explain_options, argc, argv, arena, &v)) {
    case OPTION_EXIT_0:
        break;
    case OPTION_EXIT_2:
        code = EXIT_CODE_USAGE;
        break;
    case OPTION_RUN:
        code = explain(v, arena);
        break;
    }
    arena_destroy(arena);
    return code;
}
