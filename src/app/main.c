#include "app/cmd_chat.h"
#include "app/cmd_config.h"
#include "app/cmd_devices.h"
#include "app/cmd_doctor.h"
#include "app/cmd_explain.h"
#include "app/cmd_gateway.h"
#include "app/cmd_health.h"
#include "app/cmd_ledger.h"
#include "app/cmd_keys.h"
#include "app/cmd_plan.h"
#include "app/cmd_serve.h"
#include "app/command.h"
#include "app/eval.h"
#include "app/inspect.h"
#include "app/version.h"
#include "base/check.h"
#include "options/serve_options.h"

#include <stdio.h>
#include <string.h>

static const struct command commands[] = {
    {"serve", "load a GLM checkpoint and answer the OpenAI API", cmd_serve_run, &serve_options},
    {"gateway", "one door in front of many engines and providers, with exact books",
     cmd_gateway_run, &cmd_gateway_options},
    {"chat", "talk to a server or a checkpoint in the terminal", cmd_chat_run, &cmd_chat_options},
    {"inspect", "show a checkpoint's shape, tensors, memory plan and every fault", inspect_run,
     &inspect_options},
    {"eval", "write the logits of a token sequence, or continue it greedily", eval_run,
     &eval_options},
    {"plan", "what a model needs on given accelerator cards, before anything is started",
     cmd_plan_run, &cmd_plan_options},
    {"doctor", "find what keeps an inference engine from starting: host, files, logs",
     cmd_doctor_run, &cmd_doctor_options},
    {"devices", "accelerator cards of this machine, or why there are none", cmd_devices_run,
     &cmd_devices_options},
    {"config", "check the configuration of the gateway", cmd_config_run, &cmd_config_options},
    {"ledger", "what the gateway's requests cost, and whether the books hold together",
     cmd_ledger_run, &cmd_ledger_options},
    {"keys", "make, list, rotate and revoke API keys of the gateway; tokens for them", cmd_keys_run,
     &cmd_keys_options},
    {"explain", "say where a request could go and why, from its record", cmd_explain_run,
     &cmd_explain_options},
    {"health", "ask a server whether it is healthy (exit code 0 or 1)", cmd_health_run,
     &cmd_health_options},
};

static void print_usage(FILE *to)
{
    fprintf(to,
            "usage: kontor COMMAND [options]\n\n"
            "Runs GLM language models on your own machines and keeps the books.\n\ncommands:\n");
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    fprintf(to, "\n  kontor COMMAND --help   all options of one command\n"
                "  kontor --version        build, kernel level, optional parts\n\n"
                "exit codes: 0 done, 1 failed (the message says why), 2 wrong usage\n");
}

static int unknown_command(const char *word)
{
    size_t best = SIZE_MAX;
    const char *near = NULL;

    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        size_t d = str_distance(str_from_c(word), str_from_c(commands[i].name));

        if (d < best) {
            best = d;
            near = commands[i].name;
        }
    }
    fprintf(stderr, "kontor: there is no command \"%s\"", word);
    if (best <= 2) {
        fprintf(stderr, "; did you mean \"%s\"?", near);
    }
    fprintf(stderr, "\nSee kontor --help.\n");
    return EXIT_CODE_USAGE;
}

static const struct command *find_command(const char *word)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(word, commands[i].name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

/* "kontor help serve" is "kontor serve --help". */
static int help_for(char *word)
{
    const struct command *c = find_command(word);
    char help[] = "--help";
    char *argv[] = {word, help, NULL};

    return c == NULL ? unknown_command(word) : c->run(2, argv);
}

static bool is_any(const char *word, const char *a, const char *b, const char *c)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

int main(int argc, char **argv)
{
    const struct command *c;

    if (argc < 2) {
        print_usage(stderr);
        return EXIT_CODE_USAGE;
    }
    if (is_any(argv[1], "--help", "-h", "help")) {
        if (argc > 2) {
            return help_for(argv[2]);
        }
        print_usage(stdout);
        return EXIT_CODE_OK;
    }
    if (is_any(argv[1], "--version", "-v", "version")) {
        return version_print();
    }
    c = find_command(argv[1]);
    return c == NULL ? unknown_command(argv[1]) : c->run(argc - 1, argv + 1);
}
