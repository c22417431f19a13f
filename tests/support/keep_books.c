/* keep_books - a ledger in the hands of a script: one command a line on stdin, one word back.
 *
 *   keep_books FOLDER
 *   reserve ID AMOUNT
 *   settle ID KEY TEAM MODEL PROVIDER UPSTREAM CURRENCY END_MS PROMPT COMPLETION COST
 *   flush
 *
 * "-" is the empty text; %20 a blank.  Answers "ok" or the error's text.  End of input closes the
 * ledger.
 */
#include "store/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 12
#define LINE_MAX_BYTES 8192

static uint32_t split(char *line, char *words[WORDS_MAX])
{
    uint32_t n = 0;
    char *at = line;

    while (n < WORDS_MAX) {
        at += strspn(at, " \n");
        if (*at == '\0') {
            break;
        }
        words[n++] = at;
        at += strcspn(at, " \n");
        if (*at != '\0') {
            *at++ = '\0';
        }
    }
    return n;
}

/* In place. */
static struct str text(char *word)
{
    size_t n = 0;

    if (strcmp(word, "-") == 0) {
        return (struct str){"", 0};
    }
    for (const char *at = word; *at != '\0'; at++) {
        if (at[0] == '%' && at[1] == '2' && at[2] == '0') {
            word[n++] = ' ';
            at += 2;
        } else {
            word[n++] = *at;
        }
    }
    return (struct str){word, n};
}

static int64_t number(const char *word)
{
    int64_t v = 0;

    if (str_to_i64(str_from_c(word), &v) != OK) {
        fprintf(stderr, "no number: %s\n", word);
        exit(2);
    }
    return v;
}

static enum status reserve(struct ledger *l, char **words, struct error *err)
{
    const struct ledger_reservation r = {.request_id = text(words[1]),
                                         .currency = STR("USD"),
                                         .amount_nano = number(words[2]),
                                         .time_ms = 1773144000000};

    return ledger_reserve(l, &r, err);
}

static enum status settle(struct ledger *l, char **words)
{
    const struct ledger_entry e = {
        .reservation = {.request_id = text(words[1]),
                        .key_id = text(words[2]),
                        .team = text(words[3]),
                        .route_model = text(words[4]),
                        .provider = text(words[5]),
                        .model = text(words[4]),
                        .currency = text(words[7]),
                        .time_ms = number(words[8])},
        .upstream = text(words[6]),
        .end_ms = number(words[8]),
        .usage = {.prompt_tokens = (uint32_t)number(words[9]),
                  .completion_tokens = (uint32_t)number(words[10])},
        .cost_nano = number(words[11]),
        .cause = STR("done"),
    };

    ledger_settle(l, &e);
    return OK;
}

static enum status obey(struct ledger *l, char **words, uint32_t n, struct error *err)
{
    if (n == 3 && strcmp(words[0], "reserve") == 0) {
        return reserve(l, words, err);
    }
    if (n == 12 && strcmp(words[0], "settle") == 0) {
        return settle(l, words);
    }
    if (n == 1 && strcmp(words[0], "flush") == 0) {
        return ledger_flush(l, 10000) == OK ? OK : error_set(err, E_TIMEOUT, "timeout");
    }
    return error_set(err, E_INVALID, "unknown command");
}

int main(int argc, char **argv)
{
    struct ledger_options options = {.folder = argc > 1 ? argv[1] : ".", .commit_interval_ms = 1};
    struct ledger *l = NULL;
    struct error err;
    char line[LINE_MAX_BYTES];

    if (ledger_open(&options, &l, &err) != OK) {
        printf("%s\n", err.text);
        return 1;
    }
    printf("ok\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        char *words[WORDS_MAX];
        uint32_t n = split(line, words);

        printf("%s\n", obey(l, words, n, &err) == OK ? "ok" : err.text);
        fflush(stdout);
    }
    ledger_close(l);
    return 0;
}
