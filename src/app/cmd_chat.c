#include "app/cmd_chat.h"
#include "app/chat_peer.h"
#include "app/command.h"
#include "app/engine_options.h"
#include "app/line_input.h"
#include "base/check.h"
#include "base/json.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONVERSATION_BYTES_MAX (16 << 20)
#define LINE_BYTES_MAX (1 << 20)
#define ARENA_BYTES_MAX (1 << 20)
#define LOCAL_SEQS 1

static const struct option options[] = {
    {"url", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "URL",
     "Server to talk to. Default: http://127.0.0.1:8000.", NULL, NULL, 0, 0},
    {"model", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "DIR|builtin",
     "Load this checkpoint in this process instead of asking a server; `builtin` is the "
     "demonstration model.",
     NULL, NULL, 0, 0},
    {"model-name", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "NAME",
     "Served model to ask for. Default: the first one that the server lists.", NULL, NULL, 0, 0},
    {"api-key", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "KEY",
     "Key to send. Default: the variables KONTOR_API_KEY, then OPENAI_API_KEY.", NULL, NULL, 0, 0},
    {"ca-file", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "FILE",
     "With https: trust these certificate authorities (PEM) instead of the system's.", NULL, NULL,
     0, 0},
    {"system", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "TEXT", "System message in front.", NULL,
     NULL, 0, 0},
    {"prompt", NULL, OPTION_STRING, OPTION_HONOUR, NULL, "TEXT",
     "Ask this one question, print the answer and stop.", NULL, NULL, 0, 0},
    {"temperature", NULL, OPTION_FRACTION, OPTION_HONOUR, NULL, "T", "0 is greedy.", NULL, NULL, 0,
     2},
    {"max-tokens", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "N", "Longest answer in tokens.", NULL,
     NULL, 1, 4294967295.0},
    {"max-model-len", NULL, OPTION_COUNT, OPTION_HONOUR, NULL, "N",
     "With --model: longest context in tokens.", NULL, NULL, 0, 0},
};

const struct option_set cmd_chat_options = {
    .usage = "kontor chat [--url URL | --model DIR] [options]",
    .about =
        "Talk to a model in the terminal. Answers stream; Ctrl-C stops an answer, Ctrl-D ends.\n"
        "Inside: /clear forgets the conversation, /system TEXT sets the system message, /help, "
        "/exit.",
    .options = options,
    .n_options = ARRAY_COUNT(options),
    .epilog = "Lines from a pipe are asked one after the other.\n"
              "exit codes: 0 ended, 1 the server or checkpoint failed, 2 wrong usage",
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static bool should_stop(void)
{
    return interrupted != 0;
}

static void on_text(struct str text)
{
    if (text.len > 0) { // an empty text may have no pointer
        fwrite(text.ptr, 1, text.len, stdout);
        fflush(stdout);
    }
}

struct conversation {
    struct chat_peer *peer;
    const struct option_values *values;
    struct buf messages; // JSON array without the closing bracket
    struct buf system;
};

static void add_message(struct conversation *c, const char *role, struct str content)
{
    buf_append_c(&c->messages, c->messages.len == 0 ? "[" : ", ");
    buf_printf(&c->messages, "{\"role\": \"%s\", \"content\": ", role);
    json_write_string(&c->messages, content);
    buf_append_byte(&c->messages, '}');
}

static void start_over(struct conversation *c)
{
    buf_reset(&c->messages);
    if (c->system.len > 0) {
        add_message(c, "system", buf_str(&c->system));
    }
}

/* Ask, print, remember.  A failed or stopped turn is taken back. */
static enum status ask(struct conversation *c, struct str question)
{
    struct chat_turn turn = {
        .has_temperature = option_is_set(c->values, "temperature"),
        .temperature = option_fraction(c->values, "temperature"),
        .max_tokens = (uint32_t)option_count(c->values, "max-tokens"), // the table bounds it
        .on_text = on_text,
        .should_stop = should_stop,
    };
    size_t before = c->messages.len;
    struct buf answer;
    struct error err = {0};
    enum status rc;

    interrupted = 0;
    buf_init(&answer, CONVERSATION_BYTES_MAX);
    add_message(c, "user", question);
    buf_append_byte(&c->messages, ']');
    turn.messages = buf_str(&c->messages);
    rc = buf_status(&c->messages);
    if (rc == OK) {
        rc = c->peer->ask(c->peer->self, &turn, &answer, &err);
    } else {
        error_set(&err, rc, "the conversation is too long; /clear starts over");
    }
    c->messages.len = rc == OK ? c->messages.len - 1 : before;
    printf("\n");
    if (rc == OK) {
        add_message(c, "assistant", buf_str(&answer));
    } else if (rc == E_CANCELLED) {
        printf("(stopped)\n");
    } else {
        fprintf(stderr, "kontor chat: %s\n", err.text);
    }
    buf_done(&answer);
    return rc;
}

/* A line that starts with '/'.  False: leave. */
static bool inside_command(struct conversation *c, struct str line)
{
    if (str_eq(line, STR("/exit")) || str_eq(line, STR("/quit"))) {
        return false;
    }
    if (str_eq(line, STR("/clear"))) {
        start_over(c);
        printf("(forgotten)\n");
    } else if (str_starts(line, STR("/system"))) {
        buf_reset(&c->system);
        buf_append_str(&c->system, str_trim(str_slice(line, strlen("/system"), line.len)));
        start_over(c);
        printf("(system message set, conversation forgotten)\n");
    } else {
        printf("/clear  forget the conversation\n/system TEXT  set the system message\n"
               "/exit   leave (Ctrl-D too); Ctrl-C stops an answer\n");
    }
    return true;
}

static int converse(struct conversation *c)
{
    struct line_input *in = line_input_create();
    struct buf line;
    int code = EXIT_CODE_OK;
    bool go_on = true;

    buf_init(&line, LINE_BYTES_MAX);
    if (line_input_is_terminal(in)) {
        printf("%s. /help for commands, Ctrl-D to end.\n", c->peer->name);
    }
    while (go_on && line_input_read(in, &line)) {
        struct str text = str_trim(buf_str(&line));
        enum status rc = OK;

        if (text.len > 0 && text.ptr[0] == '/') {
            go_on = inside_command(c, text);
        } else if (text.len > 0) {
            rc = ask(c, text);
        }
        if (rc != OK && rc != E_CANCELLED && !line_input_is_terminal(in)) {
            code = EXIT_CODE_FAILED; // a script must notice
            go_on = false;
        }
    }
    if (line_input_is_terminal(in) && go_on) {
        printf("\n");
    }
    buf_done(&line);
    line_input_destroy(in);
    return code;
}

static enum status open_local(const struct option_values *v, const char *model,
                              struct chat_peer *peer, struct error *err)
{
    struct engine_options *o = calloc(1, sizeof(*o));
    enum status rc;

    CHECK(o != NULL);
    engine_config_default(&o->config);
    o->config.max_num_seqs = LOCAL_SEQS;
    o->config.max_model_len = (uint32_t)option_count(v, "max-model-len");
    rc = engine_options_model(o, strcmp(model, "builtin") == 0 ? NULL : model, err);
    if (rc == OK) {
        rc = chat_local_open(o, peer, err);
    }
    free(o);
    return rc;
}

static enum status open_peer(const struct option_values *v, struct chat_peer *peer,
                             struct error *err)
{
    const char *model = option_string(v, "model");
    const char *url = option_string(v, "url");
    const char *key = option_string(v, "api-key");
    enum status rc;

    if (model != NULL && url != NULL) {
        return error_set(err, E_INVALID, "--url and --model exclude each other");
    }
    if (model != NULL) {
        return open_local(v, model, peer, err);
    }
    key = key != NULL ? key : getenv("KONTOR_API_KEY");
    key = key != NULL ? key : getenv("OPENAI_API_KEY");
    rc = chat_remote_open(url != NULL ? url : "http://127.0.0.1:8000",
                          option_string(v, "model-name"), key, option_string(v, "ca-file"), peer,
                          err);
    if (rc == E_IO && url == NULL) {
        return error_prefix(
            err, rc,
            "no server on 127.0.0.1:8000; start one with `kontor serve`, name one with "
            "--url, or load a checkpoint with --model");
    }
    return rc;
}

static int chat(const struct option_values *v)
{
    struct sigaction action = {.sa_handler = on_interrupt}; // no SA_RESTART: polls wake up
    struct chat_peer peer = {0};
    struct conversation c = {.peer = &peer, .values = v};
    const char *prompt = option_string(v, "prompt");
    const char *system_text = option_string(v, "system");
    struct error err = {0};
    enum status rc = open_peer(v, &peer, &err);
    int code;

    if (rc != OK) {
        command_failed("chat", err.text);
        return rc == E_INVALID && option_string(v, "url") != NULL &&
                       option_string(v, "model") != NULL
                   ? EXIT_CODE_USAGE
                   : EXIT_CODE_FAILED;
    }
    sigaction(SIGINT, &action, NULL);
    buf_init(&c.messages, CONVERSATION_BYTES_MAX);
    buf_init(&c.system, LINE_BYTES_MAX);
    buf_append_c(&c.system, system_text != NULL ? system_text : "");
    start_over(&c);
    if (prompt != NULL) {
        code = ask(&c, str_from_c(prompt)) == OK ? EXIT_CODE_OK : EXIT_CODE_FAILED;
    } else {
        code = converse(&c);
    }
    buf_done(&c.messages);
    buf_done(&c.system);
    peer.close(peer.self);
    return code;
}

int cmd_chat_run(int argc, char **argv)
{
    return command_run(&cmd_chat_options, argc, argv, ARENA_BYTES_MAX, chat);
}
