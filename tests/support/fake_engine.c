#include "support/fake_engine.h"
#include "base/check.h"
#include "base/clock.h"
#include "engine/engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORD_BYTES 32
#define NEVER UINT32_MAX

enum ticket_state { WAITING, RUNNING, ENDED };

struct engine_ticket {
    struct engine_ticket *next;
    struct engine_job job;
    enum ticket_state state;
    bool started; // START was delivered
    bool cancelled;
    bool released;
    /* what the commands say */
    struct str text; // words to echo
    size_t at;       // in text
    uint32_t n_made;
    uint32_t count; // tokens to make; 0: as many as text has words
    uint32_t token_bytes;
    uint32_t delay_ms;
    uint32_t break_after;
    uint32_t quit_after;
    uint32_t n_reason;
    bool hang;
    bool mute;
    bool refuse;
    bool stubborn;
    bool deaf;
    uint64_t due_ns;
    uint64_t cancelled_ns;
    char *long_token; // owned, token_bytes
};

struct engine {
    pthread_t thread;
    pthread_mutex_t lock; // guards everything below
    pthread_cond_t changed;
    struct engine_ticket *first;
    bool draining;
    bool ending;
    uint32_t slots;
    uint32_t queue_max;
    uint32_t max_model_len;
    struct engine_stats stats;
    struct metric_series *running; // as the real engine's, and the number of cancels
    struct metric_series *waiting;
    struct metric_series *cancels;
    struct engine_model model;
};

static struct fake_engine_options setup = {.step_us = 2000};

void fake_engine_setup(const struct fake_engine_options *options)
{
    setup = *options;
    setup.step_us = setup.step_us == 0 ? 2000 : setup.step_us;
}

static uint64_t now_ns(void)
{
    return kontor_clock_now_ns(&kontor_clock_system);
}

static void pause_us(uint64_t us)
{
    const struct timespec ts = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};

    nanosleep(&ts, NULL);
}

/* --- commands
 * -------------------------------------------------------------------------------------
 */

static struct str next_word(struct str text, size_t *at)
{
    size_t end;
    struct str word;

    while (*at < text.len && text.ptr[*at] == ' ') {
        (*at)++;
    }
    end = str_find_byte(text, ' ', *at);
    end = end == SIZE_MAX ? text.len : end;
    word = str_slice(text, *at, end);
    *at = end;
    return word;
}

static bool set_number(struct engine_ticket *t, struct str word, size_t *at)
{
    const struct {
        struct str name;
        uint32_t *where;
    } numbers[] = {
        {STR("!count"), &t->count},     {STR("!bytes"), &t->token_bytes},
        {STR("!delay"), &t->delay_ms},  {STR("!break"), &t->break_after},
        {STR("!quit"), &t->quit_after}, {STR("!reason"), &t->n_reason},
    };

    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        if (str_eq(word, numbers[i].name)) {
            uint64_t value = 0;

            (void)!str_to_u64(next_word(t->text, at), &value);
            *numbers[i].where = (uint32_t)value;
            return true;
        }
    }
    return false;
}

static enum status read_commands(struct engine_ticket *t)
{
    t->break_after = NEVER;
    t->quit_after = NEVER;
    while (t->at < t->text.len && t->text.ptr[t->at] == '!') {
        const struct str word = next_word(t->text, &t->at);

        if (str_eq(word, STR("!full"))) {
            return E_LIMIT;
        }
        if (str_eq(word, STR("!closed"))) {
            return E_CLOSED;
        }
        if (str_eq(word, STR("!dead"))) {
            return E_IO; // submit turns it into a failed engine
        }
        t->hang |= str_eq(word, STR("!hang"));
        t->mute |= str_eq(word, STR("!mute"));
        t->refuse |= str_eq(word, STR("!refuse"));
        t->deaf |= str_eq(word, STR("!deaf"));
        t->stubborn |= str_eq(word, STR("!stubborn"));
        (void)set_number(t, word, &t->at);
        while (t->at < t->text.len && t->text.ptr[t->at] == ' ') {
            t->at++;
        }
    }
    return OK;
}

static struct str prompt_of(const struct chat_request *q)
{
    if (q->prompt_kind == CHAT_PROMPT_TEXT) {
        return q->prompt_text;
    }
    return json_string_or(json_get(&q->messages->items[q->messages->n_items - 1], STR("content")),
                          STR(""));
}

/* --- events
 * ---------------------------------------------------------------------------------------
 */

static struct chat_usage usage_of(const struct engine_ticket *t)
{
    return (struct chat_usage){.prompt_tokens = 7, .completion_tokens = t->n_made};
}

static void send_event(struct engine_ticket *t, struct chat_event *e)
{
    e->usage = usage_of(t);
    t->job.on_event(t->job.user, e);
}

static void end_done(struct engine_ticket *t, enum chat_finish finish, struct str stop)
{
    struct chat_event e = {
        .kind = CHAT_EVENT_DONE,
        .finish = finish,
        .stop_reason = stop,
        .stop_token = -1,
    };

    t->state = ENDED;
    send_event(t, &e);
}

static void end_error(struct engine_ticket *t, int status, const char *code, const char *text)
{
    struct chat_failure f;
    struct chat_event e = {.kind = CHAT_EVENT_ERROR, .failure = &f};

    chat_failure_set(&f, status, status < 500 ? "invalid_request_error" : "server_error", code,
                     status < 500 ? "messages" : NULL, "%s", text);
    t->state = ENDED;
    send_event(t, &e);
}

/* Text of the next token, or false at the end. */
static bool next_token(struct engine_ticket *t, struct str *ret_text, char word[WORD_BYTES])
{
    if (t->count > 0) {
        if (t->n_made == t->count) {
            return false;
        }
        if (t->token_bytes > 0) {
            *ret_text = (struct str){t->long_token, t->token_bytes};
        } else {
            *ret_text = (struct str){word, (size_t)snprintf(word, WORD_BYTES, "w%u ", t->n_made)};
        }
        return true;
    }
    if (t->at >= t->text.len) {
        return false;
    }
    {
        const size_t begin = t->at;

        (void)next_word(t->text, &t->at);
        *ret_text = str_slice(t->text, begin, t->at);
    }
    return true;
}

static bool stops_at(const struct engine_ticket *t, struct str text, struct str *ret_stop)
{
    const struct chat_sampling *s = &t->job.request->sampling;

    for (uint32_t i = 0; i < s->n_stop; i++) {
        if (str_find(text, s->stop[i], 0) != SIZE_MAX) {
            *ret_stop = s->stop[i];
            return true;
        }
    }
    return false;
}

static void make_token(struct engine_ticket *t)
{
    char word[WORD_BYTES];
    const int32_t id = (int32_t)t->n_made;
    const float logprob = -0.5f;
    struct chat_event e = {
        .kind = t->n_made < t->n_reason ? CHAT_EVENT_REASONING : CHAT_EVENT_TEXT,
        .token_ids = &id,
        .logprobs = t->job.request->sampling.logprobs ? &logprob : NULL,
        .n_tokens = 1,
    };
    struct str stop;

    if (!next_token(t, &e.text, word)) {
        end_done(t, CHAT_FINISH_STOP, (struct str){NULL, 0});
        return;
    }
    if (stops_at(t, e.text, &stop)) {
        end_done(t, CHAT_FINISH_STOP, stop);
        return;
    }
    t->n_made++;
    send_event(t, &e);
    if (t->n_made == t->job.request->sampling.max_tokens) {
        end_done(t, CHAT_FINISH_LENGTH, (struct str){NULL, 0});
    }
}

static void step_ticket(struct engine_ticket *t)
{
    struct chat_event start = {.kind = CHAT_EVENT_START, .stop_token = -1};

    if (t->cancelled && !t->deaf && (!t->stubborn || now_ns() > t->cancelled_ns + 300000000)) {
        end_done(t, CHAT_FINISH_ABORT, (struct str){NULL, 0});
        return;
    }
    if (t->refuse) {
        end_error(t, 400, "context_length_exceeded",
                  "This model's maximum context length is 4096 tokens. However, your messages "
                  "resulted in 9999 tokens. Please reduce the length of the messages.");
        return;
    }
    if (t->mute || now_ns() < t->due_ns) {
        return;
    }
    if (!t->started) {
        t->started = true;
        send_event(t, &start);
    }
    if (t->hang) {
        return;
    }
    if (t->n_made >= t->break_after) {
        end_error(t, 500, NULL, "The server had an error while processing your request.");
        return;
    }
    if (t->n_made >= t->quit_after) {
        end_done(t, CHAT_FINISH_ABORT, (struct str){NULL, 0});
        return;
    }
    t->due_ns = now_ns() + (uint64_t)t->delay_ms * 1000000;
    make_token(t);
}

/* --- the thread
 * -------------------------------------------------------------------------------------
 */

static void free_ticket(struct engine_ticket *t)
{
    free(t->long_token);
    free(t);
}

static void show_counts_locked(struct engine *e)
{
    metrics_set(e->running, e->stats.n_running);
    metrics_set(e->waiting, e->stats.n_waiting);
}

/* Admit, step, forget.  Events are delivered under the lock: on_event must not
 * call back anyway. */
static void step_locked(struct engine *e)
{
    struct engine_ticket **link = &e->first;

    while (*link != NULL) {
        struct engine_ticket *t = *link;

        if (t->state == WAITING && (e->stats.n_running < e->slots || t->cancelled)) {
            t->state = RUNNING;
            e->stats.n_waiting--;
            e->stats.n_running++;
        }
        if (t->state == RUNNING) {
            step_ticket(t);
            if (t->state == ENDED) {
                e->stats.n_running--;
            }
        }
        if (t->state == ENDED && t->released) {
            *link = t->next;
            free_ticket(t);
        } else {
            link = &t->next;
        }
    }
    e->stats.n_steps++;
    e->stats.kv_blocks_used = e->stats.n_running;
    show_counts_locked(e);
}

static void *run(void *user)
{
    struct engine *e = user;

    pthread_mutex_lock(&e->lock);
    for (;;) {
        while (e->first == NULL && !e->ending) {
            pthread_cond_wait(&e->changed, &e->lock);
        }
        if (e->ending) {
            break;
        }
        step_locked(e);
        pthread_mutex_unlock(&e->lock);
        pause_us(setup.step_us);
        pthread_mutex_lock(&e->lock);
    }
    pthread_mutex_unlock(&e->lock);
    return NULL;
}

void engine_config_default(struct engine_config *c)
{
    memset(c, 0, sizeof(*c));
}

static struct metric_series *gauge(const struct engine_config *config, const char *name)
{
    return metrics_series(config->metrics, METRIC_GAUGE, name, "", name, NULL, 0);
}

enum status engine_create(const struct engine_config *config, struct engine **ret_engine,
                          struct error *err)
{
    struct engine *e;

    pause_us((uint64_t)setup.load_ms * 1000);
    if (setup.fault != NULL) {
        return error_set(err, E_INVALID, "%s", setup.fault);
    }
    e = calloc(1, sizeof(*e));
    CHECK(e != NULL);
    e->slots = config->max_num_seqs == 0 ? 1024 : config->max_num_seqs;
    e->queue_max = config->queue_max == 0 ? 1024 : config->queue_max;
    e->stats.kv_blocks = e->slots;
    e->model = (struct engine_model){
        .architecture = STR("fake"),
        .fingerprint = STR("kontor-fake"),
        .max_model_len = config->max_model_len == 0 ? 4096 : config->max_model_len,
        .vocab = 1000,
    };
    chat_sampling_default(&e->model.defaults);
    e->running = gauge(config, "vllm:num_requests_running");
    e->waiting = gauge(config, "vllm:num_requests_waiting");
    e->cancels = gauge(config, "fake_cancels");
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->changed, NULL);
    CHECK(pthread_create(&e->thread, NULL, run, e) == 0);
    *ret_engine = e;
    return OK;
}

void engine_destroy(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    pthread_mutex_lock(&e->lock);
    e->ending = true;
    pthread_cond_signal(&e->changed);
    pthread_mutex_unlock(&e->lock);
    pthread_join(e->thread, NULL);
    while (e->first != NULL) {
        struct engine_ticket *t = e->first;

        CHECK(t->released); // otherwise the gateway lost a ticket
        e->first = t->next;
        free_ticket(t);
    }
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->changed);
    free(e);
}

const struct engine_model *engine_model(const struct engine *e)
{
    return &e->model;
}

enum status engine_submit(struct engine *e, const struct engine_job *job,
                          struct engine_ticket **ret_ticket)
{
    struct engine_ticket *t = calloc(1, sizeof(*t));
    enum status rc;

    CHECK(t != NULL);
    t->job = *job;
    t->text = prompt_of(job->request);
    rc = read_commands(t);
    if (t->token_bytes > 0) {
        t->long_token = malloc(t->token_bytes);
        CHECK(t->long_token != NULL);
        memset(t->long_token, 'x', t->token_bytes);
    }
    pthread_mutex_lock(&e->lock);
    e->stats.failed |= rc == E_IO;
    if (e->stats.failed) {
        rc = E_CLOSED;
    }
    if (rc == OK && e->draining) {
        rc = E_CLOSED;
    }
    if (rc == OK && e->stats.n_waiting >= e->queue_max) {
        rc = E_LIMIT;
    }
    if (rc == OK) {
        t->next = e->first;
        e->first = t;
        e->stats.n_waiting++;
        show_counts_locked(e);
        *ret_ticket = t;
        pthread_cond_signal(&e->changed);
    }
    pthread_mutex_unlock(&e->lock);
    if (rc != OK) {
        free_ticket(t);
    }
    return rc;
}

void engine_cancel(struct engine *e, struct engine_ticket *t)
{
    pthread_mutex_lock(&e->lock);
    if (!t->cancelled && t->state != ENDED) {
        t->cancelled = true;
        t->cancelled_ns = now_ns();
        metrics_add(e->cancels, 1);
    }
    pthread_mutex_unlock(&e->lock);
}

void engine_release(struct engine *e, struct engine_ticket *t)
{
    pthread_mutex_lock(&e->lock);
    CHECK(!t->released);
    t->released = true;
    pthread_mutex_unlock(&e->lock);
}

void engine_drain(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    e->draining = true;
    pthread_mutex_unlock(&e->lock);
}

void engine_stats(struct engine *e, struct engine_stats *ret_stats)
{
    pthread_mutex_lock(&e->lock);
    *ret_stats = e->stats;
    pthread_mutex_unlock(&e->lock);
}

/* --- tokenizer: one id per byte
 * ------------------------------------------------------------------------ */

enum status engine_tokenize(struct engine *e, struct str text, bool add_special,
                            struct buf *ret_ids, struct chat_failure *failure)
{
    const int32_t bos = 999;

    (void)e;
    (void)failure;
    if (add_special) {
        buf_append(ret_ids, &bos, sizeof(bos));
    }
    for (size_t i = 0; i < text.len; i++) {
        const int32_t id = (unsigned char)text.ptr[i];

        buf_append(ret_ids, &id, sizeof(id));
    }
    return OK;
}

enum status engine_render(struct engine *e, const struct chat_request *request,
                          struct buf *ret_text, struct chat_failure *failure)
{
    (void)e;
    (void)failure;
    for (uint32_t i = 0; i < request->messages->n_items; i++) {
        const struct json_value *m = &request->messages->items[i];

        buf_append_str(ret_text, json_string_or(json_get(m, STR("role")), STR("?")));
        buf_append_byte(ret_text, ':');
        buf_append_str(ret_text, json_string_or(json_get(m, STR("content")), STR("")));
        buf_append_byte(ret_text, '\n');
    }
    return OK;
}

enum status engine_detokenize(struct engine *e, const int32_t *ids, uint32_t n_ids,
                              struct buf *ret_text, struct chat_failure *failure)
{
    for (uint32_t i = 0; i < n_ids; i++) {
        if ((uint32_t)ids[i] >= e->model.vocab) {
            chat_failure_set(failure, 400, "invalid_request_error", "invalid_value", "tokens",
                             "Token id %d is out of vocabulary (size %u).", ids[i], e->model.vocab);
            return E_INVALID;
        }
        buf_append_byte(ret_text, (char)ids[i]);
    }
    return OK;
}

struct str engine_token_text(struct engine *e, int32_t id)
{
    (void)e;
    return id % 2 == 0 ? STR("even") : STR("odd");
}
