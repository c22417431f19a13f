#include "app/cmd_devices.h"
#include "app/command.h"
#include "base/check.h"
#include "devices/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ARENA_BYTES_MAX (1 << 20)
#define OUT_BYTES_MAX (8 << 20)
#define WATCH_SECONDS_DEFAULT 2
#define WATCH_SECONDS_MAX 3600
#define COLUMNS_DEFAULT 80

static const struct option options[] = {
    {"json", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL,
     "Print JSON; unknown readings are null. With --watch one object per line.", NULL, NULL, 0, 0},
    {"prometheus", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL,
     "Print metrics kontor_device_* in Prometheus text format.", NULL, NULL, 0, 0},
    {"watch", NULL, OPTION_FLAG, OPTION_HONOUR, NULL, NULL,
     "Look again until interrupted; SECONDS behind it is the pause (2).", NULL, NULL, 0, 0},
    {"count", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "N", "With --watch: end after N looks.",
     NULL, NULL, 1, 1000000000},
    {"vendor", NULL, OPTION_STRINGS, OPTION_HONOUR, NULL, "NAME",
     "Only these: nvidia, ascend, cambricon, mthreads.", NULL, NULL, 0, 0},
    {"root", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "DIR",
     "Read sys, dev and proc below this folder; no library or tool of this host is used then.",
     NULL, NULL, 0, 0},
    {"library", NULL, OPTION_STRINGS, OPTION_HONOUR, NULL, "VENDOR=FILE",
     "Load this management library instead of looking for one.", NULL, NULL, 0, 0},
    {"tool", NULL, OPTION_STRINGS, OPTION_HONOUR, NULL, "VENDOR=FILE",
     "Run this program as the vendor's tool.", NULL, NULL, 0, 0},
    {"call-timeout", NULL, OPTION_COUNT, OPTION_HONOUR, "5000", "MS",
     "A vendor call that takes longer hangs; a run of a tool may take twice as long.", NULL, NULL,
     10, 600000},
};

const struct option_set cmd_devices_options = {
    .usage = "kontor devices [--watch [SECONDS]] [options]",
    .positional = "SECONDS",
    .about =
        "Accelerator cards of this machine: NVIDIA, Huawei Ascend, Cambricon, Moore Threads, read\n"
        "through the vendor's management library or its command-line tool; cards of other vendors\n"
        "are named. Per vendor one of: no card, card without library, init failed, no device,\n"
        "fine, and what to do.",
    .options = options,
    .n_options = ARRAY_COUNT(options),
    .epilog = "examples:\n"
              "  kontor devices --watch 5\n"
              "  kontor devices --vendor ascend --json\n"
              "exit codes: 0 nothing to repair (also without any card), 1 a card or driver needs "
              "repair, 2 wrong usage",
};

/* "ascend=/path" */
static enum status read_assignment(const char *word, const char *from,
                                   const char *ret_files[DEVICES_VENDOR_COUNT], struct error *err)
{
    const char *equals = strchr(word, '=');
    enum devices_vendor vendor;
    enum status rc;

    if (equals == NULL || equals[1] == '\0') {
        return error_set(err, E_INVALID, "%s is VENDOR=FILE, not \"%s\"", from, word);
    }
    rc = devices_vendor_find((struct str){word, (size_t)(equals - word)}, &vendor, err);
    if (rc != OK) {
        return error_prefix(err, rc, "%s", from);
    }
    ret_files[vendor] = equals + 1;
    return OK;
}

enum status cmd_devices_environment(struct devices_options *o, struct error *err)
{
    const char *word = getenv(CMD_DEVICES_LIBRARY_ENV);

    return word == NULL || word[0] == '\0'
               ? OK
               : read_assignment(word, CMD_DEVICES_LIBRARY_ENV, o->libraries, err);
}

/* `name` with its two dashes. */
static enum status read_assignments(const struct option_values *v, const char *name,
                                    const char *ret_files[DEVICES_VENDOR_COUNT], struct error *err)
{
    uint32_t n = 0;
    const char *const *words = option_strings(v, name + 2, &n);

    for (uint32_t i = 0; i < n; i++) {
        enum status rc = read_assignment(words[i], name, ret_files, err);

        if (rc != OK) {
            return rc;
        }
    }
    return OK;
}

static enum status read_options(const struct option_values *v, struct devices_options *o,
                                struct error *err)
{
    uint32_t n = 0;
    const char *const *words = option_strings(v, "vendor", &n);
    enum status rc;

    for (uint32_t i = 0; i < n; i++) {
        enum devices_vendor vendor;

        rc = devices_vendor_find(str_from_c(words[i]), &vendor, err);
        if (rc != OK) {
            return error_prefix(err, rc, "--vendor");
        }
        o->vendors |= 1u << vendor;
    }
    o->root = option_string(v, "root");
    if (o->root != NULL && access(o->root, R_OK | X_OK) != 0) {
        return error_set(err, E_NOT_FOUND, "--root: the folder \"%s\" cannot be read", o->root);
    }
    o->call_timeout_ms = (uint32_t)option_count(v, "call-timeout"); // the table bounds it
    o->tool_timeout_ms = 2 * o->call_timeout_ms;
    rc = cmd_devices_environment(o, err);
    if (rc == OK) {
        rc = read_assignments(v, "--library", o->libraries, err);
    }
    return rc == OK ? read_assignments(v, "--tool", o->tools, err) : rc;
}

static uint32_t terminal_columns(void)
{
    struct winsize w = {0};

    if (isatty(STDOUT_FILENO) != 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0) {
        return w.ws_col;
    }
    return COLUMNS_DEFAULT;
}

static void print_report(const struct option_values *v, const struct devices_report *report)
{
    struct buf out;

    buf_init(&out, OUT_BYTES_MAX);
    if (option_flag(v, "json")) {
        devices_write_json(report, &out);
    } else if (option_flag(v, "prometheus")) {
        devices_write_prometheus(report, &out);
    } else {
        devices_write_text(report, terminal_columns(), &out);
    }
    CHECK(buf_status(&out) == OK);
    fwrite(out.ptr, 1, out.len, stdout);
    buf_done(&out);
}

/* "--watch 5": the parser takes the 5 for the positional argument, which is what it is then. */
static enum status read_pause(const struct option_values *v, unsigned *ret_s, struct error *err)
{
    const char *word = option_positional(v);
    uint64_t seconds = WATCH_SECONDS_DEFAULT;

    if (word != NULL && !option_flag(v, "watch")) {
        return error_set(err, E_INVALID, "\"%s\" is no option; seconds go behind --watch", word);
    }
    if (word != NULL && (str_to_u64(str_from_c(word), &seconds) != OK || seconds == 0 ||
                         seconds > WATCH_SECONDS_MAX)) {
        return error_set(err, E_INVALID, "--watch takes 1 to %d seconds, not \"%s\"",
                         WATCH_SECONDS_MAX, word);
    }
    *ret_s = (unsigned)seconds;
    return OK;
}

/* Looks once, or again and again.  On a terminal each look replaces the one before. */
static int look(const struct option_values *v, const struct devices_options *o, unsigned pause_s)
{
    struct devices_report *report = calloc(1, sizeof(*report));
    uint64_t n_looks = option_flag(v, "watch") ? option_count(v, "count") : 1;
    bool plain = option_flag(v, "json") || option_flag(v, "prometheus");
    bool problem = false;

    CHECK(report != NULL);
    for (uint64_t i = 0; n_looks == 0 || i < n_looks; i++) {
        if (i > 0) {
            sleep(pause_s);
            fputs(plain ? "" : isatty(STDOUT_FILENO) != 0 ? "\033[H\033[J" : "\n", stdout);
        }
        devices_scan(o, report);
        print_report(v, report);
        problem = devices_problem(report);
        if (fflush(stdout) != 0) {
            break; // nobody reads any more
        }
    }
    free(report);
    return problem ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static int devices(const struct option_values *v)
{
    struct devices_options o = {0};
    struct error err = {0};
    unsigned pause_s = 0;
    int code;

    if (option_flag(v, "json") && option_flag(v, "prometheus")) {
        command_failed("devices", "--json or --prometheus, not both");
        return EXIT_CODE_USAGE;
    }
    if (read_options(v, &o, &err) != OK || read_pause(v, &pause_s, &err) != OK) {
        command_failed("devices", err.text);
        return EXIT_CODE_USAGE;
    }
    code = look(v, &o, pause_s);
    if (devices_abandoned()) {
        fflush(NULL);
        _exit(code); // a vendor's thread may hold the loader's lock
    }
    return code;
}

int cmd_devices_run(int argc, char **argv)
{
    return command_run(&cmd_devices_options, argc, argv, ARENA_BYTES_MAX, devices);
}
