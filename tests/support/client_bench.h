/* client_bench.h - a loop with an HTTP client and one origin, and answers that keep everything. */
#ifndef TESTS_SUPPORT_CLIENT_BENCH_H
#define TESTS_SUPPORT_CLIENT_BENCH_H

#include "support/script_peer.h"
#include "base/buf.h"
#include "net/http_client.h"

#include <stdbool.h>

struct client_bench {
    struct loop *loop;
    struct http_client *client;
    struct http_origin *origin;
    uint32_t n_running; // answers not ended
    uint32_t wanted;    // the loop stops when so many are left
    struct loop_timer alarm;
};

/* One call and what came of it. */
struct answer {
    struct client_bench *bench;
    struct http_call *call; // NULL once ended
    uint32_t n_heads;
    uint32_t status;
    bool encoded;
    struct str fields; // "name: value\n" of each, in `text`
    struct buf text;
    struct buf body;
    uint32_t n_pieces;
    uint32_t pause_every; // pieces; 0: never
    bool stay_paused;     // who paused also resumes
    size_t cancel_at;     // bytes of body; 0: never
    bool cancel_at_head;
    struct answer *then; // begun from inside this one's on_end, with the same options
    bool ended;
    enum status rc;
    enum http_call_phase phase;
    char why[ERROR_TEXT_MAX];
    struct http_call_options options;
    struct loop_timer resume;
};

/** `url` gets the port as "http://127.0.0.1:<port>" when it is NULL. */
void client_bench_start(struct client_bench *b, uint16_t port,
                        const struct http_origin_options *options);
void client_bench_stop(struct client_bench *b);
/** The same in a loop that others use too; client_bench_leave does not end it. */
void client_bench_start_in(struct client_bench *b, struct loop *loop, uint16_t port,
                           const struct http_origin_options *options);
void client_bench_leave(struct client_bench *b);
/** Begin a call; events are set here.  `a` must live until it has ended. */
void client_bench_call(struct client_bench *b, struct answer *a,
                       const struct http_call_options *options);
/** Run until `left` calls are left, at most 20 s. */
void client_bench_run(struct client_bench *b, uint32_t left);
/** Run for so long. */
void client_bench_pass(struct client_bench *b, uint32_t ms);
void client_bench_done(struct answer *a);

/** One call against a peer that follows `steps`, from start to end. */
void client_bench_script(const struct script_step *steps, const struct http_call_options *options,
                         struct answer *ret);

/** A GET of "/x" for everything. */
extern const struct http_call_options client_bench_get;
/** A POST of "hello" in two pieces. */
extern const struct http_call_options client_bench_post;

#endif
