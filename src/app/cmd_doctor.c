#include "app/cmd_doctor.h"
#include "app/command.h"
#include "base/check.h"
#include "doctor/files.h"
#include "doctor/host.h"
#include "doctor/log_check.h"
#include "doctor/report.h"
#include "doctor/rules.h"
#include "doctor/visible.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ARENA_BYTES_MAX (1 << 20)
#define OUT_BYTES_MAX (64u << 20)
#define FAULTS_BYTES_MAX (1u << 20)
#define FACTS_MAX 32
#define EXIT_CODE_UNCHECKED 2

static const struct option options[] = {
    {"log", NULL, OPTION_STRINGS, OPTION_HONOUR, NULL, "FILE",
     "Explain these logs; - is standard input. UTF-8, UTF-16, UTF-32, GB18030.", NULL, NULL, 0, 0},
    {"file", NULL, OPTION_STRINGS, OPTION_HONOUR, NULL, "FILE",
     "Check an entry script, Dockerfile, Compose file, daemon.json, manifest or .env.", NULL, NULL,
     0, 0},
    {"fix", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL,
     "With --file: write the corrected file beside it (start.sh to start.fixed.sh).", NULL, NULL, 0,
     0},
    {"force", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL,
     "With --fix: replace a corrected file that exists already.", NULL, NULL, 0, 0},
    {"all", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL,
     "Print the checks that are fine and every line of long files, too.", NULL, NULL, 0, 0},
    {"engine", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "NAME",
     "The engine that is meant: vllm, vllm-ascend, sglang, mindie, llama.cpp ...", NULL, NULL, 0,
     0},
    {"model", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "DIR", "The checkpoint that is meant.",
     NULL, NULL, 0, 0},
    {"image", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "NAME",
     "The container image that is meant.", NULL, NULL, 0, 0},
    {"root", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "DIR",
     "Take DIR for the root folder of the host that is checked.", NULL, NULL, 0, 0},
    {"rules", NULL, OPTION_STRINGS, OPTION_HONOUR, NULL, "FILE",
     "Further rules for logs, beside the built-in ones.", NULL, NULL, 0, 0},
    {"fact", NULL, OPTION_STRINGS, OPTION_HONOUR, NULL, "NAME=VALUE",
     "Something the log does not say, for example vllm=0.10.0.", NULL, NULL, 0, 0},
    {"list-rules", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL,
     "Print all rules for logs as a Markdown page.", NULL, NULL, 0, 0},
    {"json", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL, "Print JSON.", NULL, NULL, 0, 0},
    {"color", NULL, OPTION_CHOICE, OPTION_HONOUR, "auto", "WHEN",
     "Colours: auto (only on a terminal), always or never.", "auto|always|never", NULL, 0, 0},
};

const struct option_set cmd_doctor_options = {
    .usage = "kontor doctor [--log FILE... | --file FILE...] [options]",
    .about =
        "Finds why an inference engine does not start or fails: from its log (--log), from the\n"
        "files that start it (--file), or before the start from the host itself (neither).\n"
        "Each answer has cause, evidence, fix, and how sure it is. Knows vLLM and its vendor\n"
        "plug-ins, SGLang, MindIE, llama.cpp, Docker and Kubernetes. Reads only, sends nothing;\n"
        "only --fix writes, and only beside the file.",
    .options = options,
    .n_options = ARRAY_COUNT(options),
    .epilog =
        "examples:\n"
        "  kontor doctor --log vllm.log\n"
        "  docker logs llm 2>&1 | kontor doctor --log - --json\n"
        "exit codes: 0 nothing found (an error that no rule explains is named), 1 a problem,\n"
        "2 could not check (the message says why) or wrong usage",
};

/* What a check gets: the command line, the report to add to, where to say why not. */
struct request {
    const struct option_values *values;
    struct report *report;
    struct buf *files; // what is said line by line; with --json the elements of an array
};

/* A verdict that could not be written is none: the exit code is of those that say so. */
static int write_out(const struct buf *out, int code)
{
    if (fwrite(out->ptr, 1, out->len, stdout) != out->len || fflush(stdout) != 0) {
        command_failed("doctor", "the answer cannot be written to the standard output");
        return EXIT_CODE_UNCHECKED;
    }
    return code;
}

static void say_failed(const struct error *err)
{
    struct buf shown;

    buf_init(&shown, OUT_BYTES_MAX);
    visible_append_lines(&shown, str_from_c(err->text));
    buf_append_byte(&shown, '\0');
    command_failed("doctor", shown.len > 1 ? shown.ptr : err->text);
    buf_done(&shown);
}

static enum status load_rules(const struct option_values *v, struct rules *r, struct error *err)
{
    uint32_t n;
    const char *const *paths = option_strings(v, "rules", &n);
    struct buf faults;
    enum status rc;

    buf_init(&faults, FAULTS_BYTES_MAX);
    rc = rules_add_builtin(r, &faults);
    for (uint32_t i = 0; i < n; i++) {
        enum status one = rules_add_file(r, paths[i], &faults);

        rc = rc == OK ? one : rc;
    }
    if (rc != OK) {
        struct buf shown;

        buf_init(&shown, OUT_BYTES_MAX);
        visible_append_lines(&shown, buf_str(&faults));
        fwrite(shown.ptr, 1, shown.len, stderr);
        buf_done(&shown);
        error_set(err, rc, "the rules have faults (above)");
    }
    buf_done(&faults);
    return rc;
}

/* The facts of the command line: --engine, --model, --image, --fact. */
static enum status read_facts(const struct option_values *v, struct log_check_fact *facts,
                              uint32_t *ret_n, struct error *err)
{
    static const char *const plain[] = {"engine", "model", "image"};
    uint32_t n_words;
    const char *const *words = option_strings(v, "fact", &n_words);
    uint32_t n = 0;

    for (size_t i = 0; i < ARRAY_COUNT(plain); i++) {
        if (option_string(v, plain[i]) != NULL) {
            facts[n++] = (struct log_check_fact){str_from_c(plain[i]),
                                                 str_from_c(option_string(v, plain[i]))};
        }
    }
    for (uint32_t i = 0; i < n_words && n < FACTS_MAX; i++) {
        struct str word = str_from_c(words[i]);
        size_t equals = str_find_byte(word, '=', 0);

        if (equals == SIZE_MAX || equals == 0) {
            return error_set(err, E_INVALID, "--fact is NAME=VALUE, not \"%s\"", words[i]);
        }
        facts[n++] = (struct log_check_fact){str_slice(word, 0, equals),
                                             str_slice(word, equals + 1, word.len)};
    }
    *ret_n = n;
    return OK;
}

static enum status check_logs(const struct request *q, struct error *err)
{
    struct rules *r = rules_create();
    struct log_check_fact facts[FACTS_MAX + 3];
    uint32_t n_facts = 0;
    uint32_t n_paths;
    const char *const *paths = option_strings(q->values, "log", &n_paths);
    enum status rc = r == NULL ? error_set(err, E_NO_MEMORY, "no memory for the rules")
                               : load_rules(q->values, r, err);

    if (rc == OK) {
        rc = read_facts(q->values, facts, &n_facts, err);
    }
    for (uint32_t i = 0; rc == OK && i < n_paths; i++) {
        rc = log_check_run(paths[i], r, facts, n_facts, q->report, err);
    }
    rules_destroy(r);
    return rc;
}

static bool wants_logs(const struct option_values *v)
{
    return option_is_set(v, "log");
}

static bool wants_files(const struct option_values *v)
{
    return option_is_set(v, "file");
}

static bool wants_host(const struct option_values *v)
{
    return !wants_logs(v) && !wants_files(v);
}

static bool wants_color(const struct option_values *v)
{
    const char *when = option_string(v, "color");

    return strcmp(when, "always") == 0 || (strcmp(when, "auto") == 0 && isatty(STDOUT_FILENO));
}

static enum status check_files(const struct request *q, struct error *err)
{
    uint32_t n;
    const char *const *paths = option_strings(q->values, "file", &n);
    enum status rc = OK;

    for (uint32_t i = 0; rc == OK && i < n; i++) {
        struct files_request f = {.path = paths[i],
                                  .fix = option_flag(q->values, "fix"),
                                  .force = option_flag(q->values, "force"),
                                  .json = option_flag(q->values, "json"),
                                  .color = wants_color(q->values),
                                  .all = option_flag(q->values, "all")};

        if (i > 0 && f.json) {
            buf_append_c(q->files, ",\n  ");
        }
        rc = files_run(&f, q->report, q->files, err);
    }
    return rc;
}

static enum status check_host(const struct request *q, struct error *err)
{
    struct host_request r = {.root = option_string(q->values, "root"),
                             .engine = option_string(q->values, "engine"),
                             .model = option_string(q->values, "model"),
                             .image = option_string(q->values, "image")};

    return host_run(&r, q->report, err);
}

/* The checks in order; each adds to the report or says why it could not look. */
static const struct check {
    bool (*is_wanted)(const struct option_values *v);
    enum status (*run)(const struct request *q, struct error *err);
} checks[] = {
    {wants_host, check_host},
    {wants_files, check_files},
    {wants_logs, check_logs},
};

/* report_json's object, with what was said line by line behind it. */
static void print_json(const struct report *report, const struct buf *files, struct buf *out)
{
    report_json(report, out);
    if (files->len == 0) {
        return;
    }
    while (out->len > 0 && out->ptr[out->len - 1] != '}') {
        out->len--;
    }
    CHECK(out->len > 0);
    out->len--;
    buf_append_c(out, ",\n \"files\": [\n  ");
    buf_append_str(out, buf_str(files));
    buf_append_c(out, "]}\n");
}

/* Returns the exit code. */
static int print(const struct option_values *v, const struct report *report,
                 const struct buf *files)
{
    struct buf out;
    int code;

    buf_init(&out, OUT_BYTES_MAX);
    if (option_flag(v, "json")) {
        print_json(report, files, &out);
    } else {
        buf_append_str(&out, buf_str(files));
        report_print(report, wants_color(v), option_flag(v, "all"), &out);
    }
    code = write_out(&out, report_exit_code(report));
    buf_done(&out);
    return code;
}

static int list_rules(const struct option_values *v)
{
    struct rules *r = rules_create();
    struct error err;
    struct buf page;
    struct buf out;
    int code;

    CHECK(r != NULL);
    if (load_rules(v, r, &err) != OK) {
        rules_destroy(r);
        say_failed(&err);
        return EXIT_CODE_UNCHECKED;
    }
    buf_init(&page, OUT_BYTES_MAX);
    buf_init(&out, OUT_BYTES_MAX);
    rules_write_page(r, &page);
    visible_append_lines(&out, buf_str(&page));
    code = write_out(&out, EXIT_CODE_OK);
    buf_done(&page);
    buf_done(&out);
    rules_destroy(r);
    return code;
}

/* Options that speak of files do nothing without one; silence would pass for a correction. */
static bool options_fit(const struct option_values *v)
{
    const char *alone = option_flag(v, "fix") && !wants_files(v)            ? "--fix"
                        : option_flag(v, "force") && !option_flag(v, "fix") ? "--force"
                                                                            : NULL;

    if (alone != NULL) {
        command_failed("doctor", strcmp(alone, "--fix") == 0
                                     ? "--fix corrects files: name them with --file"
                                     : "--force belongs to --fix");
    }
    return alone == NULL;
}

static int doctor(const struct option_values *v)
{
    struct buf files;
    struct request q = {v, report_create(), &files};
    int code = EXIT_CODE_OK;

    CHECK(q.report != NULL);
    buf_init(&files, OUT_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_COUNT(checks); i++) {
        struct error err = {0};

        if (checks[i].is_wanted(v) && checks[i].run(&q, &err) != OK) {
            say_failed(&err);
            code = EXIT_CODE_UNCHECKED;
        }
    }
    if (code == EXIT_CODE_OK) {
        code = print(v, q.report, &files);
    }
    buf_done(&files);
    report_destroy(q.report);
    return code;
}

static int choose(const struct option_values *v)
{
    if (!options_fit(v)) {
        return EXIT_CODE_USAGE;
    }
    return option_flag(v, "list-rules") ? list_rules(v) : doctor(v);
}

int cmd_doctor_run(int argc, char **argv)
{
    return command_run(&cmd_doctor_options, argc, argv, ARENA_BYTES_MAX, choose);
}
