/* status.h - the one way a function says how it went.
 *
 * OK is 0, failures are negative.  Everything the outside can cause (files, requests,
 * configuration, network, exhaustion) returns enum status; CHECK in check.h is for our own bugs
 * only.
 * Outputs are called ret_x, come last and are untouched on failure.
 */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_idx, arg_idx) __attribute__((format(printf, fmt_idx, arg_idx)))

enum status {
    OK = 0,
    E_INVALID = -1,     // the input breaks a rule
    E_LIMIT = -2,       // a named limit is reached; ordinary, the caller queues or refuses
    E_NO_MEMORY = -3,   // allocation failed or an arena's ceiling is reached
    E_NOT_FOUND = -4,   // no such file, key, tensor
    E_IO = -5,          // the operating system said no; errno text is in the error
    E_UNSUPPORTED = -6, // understood, but not built or not for this model
    E_TIMEOUT = -7,     // a deadline passed
    E_CLOSED = -8,      // the other side is gone
    E_AGAIN = -9,       // nothing to do now; more input or another event is needed
    E_CANCELLED = -10,  // somebody asked to stop
    E_DENIED = -11,     // policy or permission
    E_BUSY = -12,       // in use, for example a port or a lock file
};

/** Short lower-case name of `s` ("limit"), for logs.  Never NULL; any thread. */
const char *status_name(enum status s);

#define ERROR_TEXT_MAX 1024

/* Filled at boundaries that read outside input.  The text is one or more sentences for the person
 * who can fix it: what is wrong, where, what to do.  No trailing newline. */
struct error {
    enum status status;
    char text[ERROR_TEXT_MAX];
};

/** Set `err` (may be NULL) and return `s`, so that `return error_set(...)` reads well.
 *  A text longer than ERROR_TEXT_MAX - 1 bytes is cut at a UTF-8 boundary. */
#define error_set(err, s, ...) error_same(s, error_fill(err, s, __VA_ARGS__))

/** Put "prefix: " in front of the text of `err` (may be NULL); keeps the status, returns it. */
#define error_prefix(err, s, ...) error_same(s, error_fill_prefix(err, s, __VA_ARGS__))

/** What error_set and error_prefix call. */
enum status error_fill(struct error *err, enum status s, const char *fmt, ...) PRINTF_LIKE(3, 4);
enum status error_fill_prefix(struct error *err, enum status s, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* Macros around it, so that compilers and analyzers see which status comes back: with an opaque
 * function they believe that a failure may be OK and report unset outputs. */
static inline enum status error_same(enum status s, enum status filled)
{
    (void)filled;
    return s;
}

#endif
