/* The fetching thread: a key set by URL, one fetch at a time.
 *
 *   fresh  -> look again after REFRESH_S, or when a token names an unknown key and MIN_AGE_S passed
 *   failed -> try again after 1, 2, 4 ... BACK_OFF_MAX_S seconds; the last good set stays in force
 */
#include "base/clock.h"
#include "base/log.h"
#include "gateway/identity_internal.h"
#include "gateway/policy.h"
#include "net/egress.h"

#define REFRESH_S 300
#define MIN_AGE_S 10 // a caller who makes up key ids causes no more than a fetch in ten seconds
#define BACK_OFF_MAX_S 60
#define STEP_MS 250
#define CONNECT_TIMEOUT_MS 5000
#define ANSWER_TIMEOUT_MS 10000

/* One answer. */
struct fetch {
    struct identity_feed *feed;
    struct buf body;
};

static bool on_body(void *user, struct str piece)
{
    struct fetch *f = user;

    buf_append_str(&f->body, piece);
    return buf_status(&f->body) == OK;
}

static bool should_stop(void *user)
{
    const struct fetch *f = user;

    return atomic_load(&f->feed->stop);
}

static enum status fetch_set(struct identity_feed *feed, struct jwks **ret_set, struct error *err)
{
    const struct http_field accept = {STR("accept"), STR("application/json")};
    struct fetch f = {.feed = feed};
    struct egress_request request = {
        .method = STR("GET"),
        .url = feed->jwks_url,
        .fields = &accept,
        .n_fields = 1,
        .label = LABEL_PUBLIC,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .first_byte_timeout_ms = ANSWER_TIMEOUT_MS,
        .idle_timeout_ms = ANSWER_TIMEOUT_MS,
        .answer_bytes_max = JWKS_BYTES_MAX,
        .on_body = on_body,
        .should_stop = should_stop,
        .user = &f,
    };
    int http_status = 0;
    enum status rc;

    buf_init(&f.body, JWKS_BYTES_MAX);
    rc = egress_call(policy_permit_key_set(), &request, &http_status, err);
    if (rc == OK && http_status != 200) {
        rc = error_set(err, E_INVALID, "the answer's status is %d", http_status);
    }
    if (rc == OK) {
        rc = jwks_parse(buf_str(&f.body), ret_set, err);
    }
    buf_done(&f.body);
    return rc;
}

/* True when the set was fetched. */
static bool fetch_once(struct identity_feed *feed)
{
    struct jwks *fresh = NULL;
    struct error err = {0};

    atomic_store_explicit(&feed->wants_jwks, false, memory_order_relaxed);
    if (fetch_set(feed, &fresh, &err) != OK) {
        if (!atomic_load(&feed->stop)) {
            log_event(LOG_LEVEL_ERROR, "key_set_not_fetched", "why=\"%s\"", err.text);
        }
        return false;
    }
    identity_watch_publish(feed, fresh);
    return true;
}

static int64_t now_s(void)
{
    return (int64_t)(kontor_clock_now_ns(&kontor_clock_system) / 1000000000U);
}

void *identity_fetch_run(void *user)
{
    struct identity_feed *feed = user;
    int64_t back_off_s = 1;
    int64_t fetched_s = 0;
    int64_t due_s = 0;

    do {
        const bool wanted = atomic_load_explicit(&feed->wants_jwks, memory_order_relaxed);

        /* Asked for: sooner than planned, but a failure's back-off holds. */
        if (now_s() < due_s && !(wanted && back_off_s == 1 && now_s() >= fetched_s + MIN_AGE_S)) {
            continue;
        }
        if (fetch_once(feed)) {
            back_off_s = 1;
            fetched_s = now_s();
            due_s = fetched_s + REFRESH_S;
        } else {
            due_s = now_s() + back_off_s;
            back_off_s = back_off_s * 2 > BACK_OFF_MAX_S ? BACK_OFF_MAX_S : back_off_s * 2;
        }
    } while (identity_watch_wait(feed, STEP_MS));
    return NULL;
}
