#include "app/cmd_config.h"
#include "app/command.h"
#include "app/config_file.h"
#include "app/config_print.h"
#include "app/config_reference.h"
#include "base/check.h"

#include <stdio.h>
#include <string.h>

#define ARENA_BYTES_MAX (1 << 20)
#define OUT_BYTES_MAX (8 << 20)

static const struct option check_rows[] = {
    {"json", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL, "Report as one JSON object.", NULL, NULL,
     0, 0},
    {"print", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL,
     "Also print the effective settings as YAML, defaults filled in, secrets redacted; problems "
     "then go to stderr.",
     NULL, NULL, 0, 0},
    {"without-secrets", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL,
     "Do not look for the files and environment variables that the file names; for a check on "
     "another machine.",
     NULL, NULL, 0, 0},
};

static const struct option_set check_options = {
    .usage = "kontor config check FILE [options]",
    .about = "Read a configuration as `kontor gateway` would and report everything that is wrong "
             "with it.",
    .positional = "FILE",
    .options = check_rows,
    .n_options = ARRAY_COUNT(check_rows),
    .epilog = "Problems go to stdout, one a line: FILE:LINE:COLUMN: error|warning: what to do.\n"
              "exit codes: 0 no error (there may be warnings), 1 errors, 2 wrong usage",
};

static const struct option_set reference_options = {
    .usage = "kontor config reference",
    .about = "Print the page that describes every key of the configuration (docs/config.md).",
    .epilog = "exit codes: 0 done, 2 wrong usage",
};

static const struct option_set schema_options = {
    .usage = "kontor config schema",
    .about = "Print a JSON Schema of the configuration, for editors that complete and check YAML.",
    .epilog = "exit codes: 0 done, 2 wrong usage",
};

const struct option_set cmd_config_options = {
    .usage = "kontor config check FILE | reference | schema [options]",
    .about = "Work with the configuration of `kontor gateway`.\n"
             "  check FILE   report everything that is wrong with it\n"
             "  reference    print the page that describes every key\n"
             "  schema       print a JSON Schema, for editors",
    .epilog = "exit codes: 0 done, 1 the file has errors, 2 wrong usage",
};

static void print_summary(const struct config_report *r, FILE *to)
{
    if (r->n_errors > 0) {
        fprintf(to, "%.*s: %u error%s, %u warning%s\n", STR_ARG(r->file), r->n_errors,
                r->n_errors == 1 ? "" : "s", r->n_warnings, r->n_warnings == 1 ? "" : "s");
    } else if (r->n_warnings > 0) {
        fprintf(to, "%.*s: ok, %u warning%s\n", STR_ARG(r->file), r->n_warnings,
                r->n_warnings == 1 ? "" : "s");
    } else {
        fprintf(to, "%.*s: ok\n", STR_ARG(r->file));
    }
}

static void print_settings(const struct config_file *file, const char *path)
{
    struct buf out;

    buf_init(&out, OUT_BYTES_MAX);
    config_print_settings(file, path, &out);
    fprintf(stdout, "%.*s", STR_ARG(buf_str(&out)));
    buf_done(&out);
}

static void print_report(const struct config_report *r, bool json, FILE *to)
{
    struct buf out;

    buf_init(&out, OUT_BYTES_MAX);
    if (json) {
        config_report_print_json(r, &out);
    } else {
        config_report_print(r, &out);
    }
    fprintf(to, "%.*s", STR_ARG(buf_str(&out)));
    buf_done(&out);
    if (!json) {
        print_summary(r, to);
    }
}

static int check(const struct option_values *v)
{
    struct config_file_options options = {.path = option_positional(v),
                                          .without_secrets = option_flag(v, "without-secrets")};
    struct config_file file = {0};
    struct config_report report;
    enum status rc;

    if (options.path == NULL) {
        fprintf(stderr, "kontor config check: name the file\n");
        return EXIT_CODE_USAGE;
    }
    config_report_init(&report, options.path);
    rc = config_file_load(&options, &report, &file);
    print_report(&report, option_flag(v, "json"), option_flag(v, "print") ? stderr : stdout);
    if (rc == OK && option_flag(v, "print")) {
        print_settings(&file, options.path);
    }
    config_report_done(&report);
    config_file_free(file.settings);
    return rc == OK ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}

static int print_all(void (*print)(struct buf *out))
{
    struct buf out;
    enum status rc;

    buf_init(&out, OUT_BYTES_MAX);
    print(&out);
    rc = buf_status(&out);
    fprintf(stdout, "%.*s", STR_ARG(buf_str(&out)));
    buf_done(&out);
    return rc == OK ? EXIT_CODE_OK : command_failed("config", "no memory");
}

static int reference(const struct option_values *v)
{
    (void)v;
    return print_all(config_reference_page);
}

static int schema(const struct option_values *v)
{
    (void)v;
    return print_all(config_reference_schema);
}

static const struct {
    const char *name;
    const struct option_set *options;
    int (*run)(const struct option_values *v);
} actions[] = {
    {"check", &check_options, check},
    {"reference", &reference_options, reference},
    {"schema", &schema_options, schema},
};

static int run_action(size_t i, int argc, char **argv)
{
    struct arena *arena = arena_create(ARENA_BYTES_MAX);
    struct option_values *v = NULL;
    int code = EXIT_CODE_OK;

    CHECK(arena != NULL);
    switch (option_parse(actions[i].options, argc, argv, arena, &v)) {
    case OPTION_EXIT_0:
        break;
    case OPTION_EXIT_2:
        code = EXIT_CODE_USAGE;
        break;
    case OPTION_RUN:
        code = actions[i].run(v);
        break;
    }
    arena_destroy(arena);
    return code;
}

static void print_help(FILE *to)
{
    struct buf out;

    buf_init(&out, 65536);
    option_print_help(&cmd_config_options, &out);
    fprintf(to, "%.*s", STR_ARG(buf_str(&out)));
    buf_done(&out);
}

int cmd_config_run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_CODE_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return EXIT_CODE_OK;
    }
    for (size_t i = 0; i < ARRAY_COUNT(actions); i++) {
        if (strcmp(argv[1], actions[i].name) == 0) {
            return run_action(i, argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "kontor config: there is no action \"%s\"; see kontor config --help\n",
            argv[1]);
    return EXIT_CODE_USAGE;
}
