/* http_parse.h - strict HTTP/1.1 codec: bytes to a request or response head, and the chunked body.
 *
 * No allocation, no I/O, no state besides what the caller passes: every function says consumed,
 * partial (E_AGAIN) or refused.  Strings in a head point into the caller's bytes.  What two parsers
 * could read differently is refused, never repaired; the rules are listed in docs/http.md.
 * Untrusted input: never reads past the given bytes; every count and length has a named limit.
 * Pure; any thread.
 */
#ifndef NET_HTTP_PARSE_H
#define NET_HTTP_PARSE_H

#include "base/status.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_FIELDS_MAX 128            // header fields of one head
#define HTTP_HEAD_BYTES_MAX 65536      // default ceiling of a head, request line included
#define HTTP_TARGET_BYTES_MAX 16384    // request target
#define HTTP_METHOD_BYTES_MAX 32       // longest method token
#define HTTP_NAME_BYTES_MAX 256        // longest field name
#define HTTP_CHUNK_LINE_BYTES_MAX 1024 // a chunk-size line with its extensions
#define HTTP_TRAILER_BYTES_MAX 8192    // all trailer fields of one body

struct http_field {
    struct str name;  // as sent; compare with str_eq_nocase
    struct str value; // without blanks at both ends
};

/* How the length of a body is known. */
enum http_body {
    HTTP_BODY_NONE,
    HTTP_BODY_LENGTH,    // content_length says
    HTTP_BODY_CHUNKED,   // struct http_chunked reads it
    HTTP_BODY_UNTIL_EOF, // responses only
};

struct http_head {
    struct str method; // request; "" in a response
    struct str target; // request target as sent
    struct str path;   // raw path of the target, still percent-encoded, begins with '/' (or is "*")
    struct str query;  // behind '?', without it
    uint32_t status;   // response: 100..599
    uint32_t version_minor; // HTTP/1.x
    enum http_body body;
    uint64_t content_length; // HTTP_BODY_LENGTH
    bool keep_alive;         // the connection may carry another message
    bool encoded;            // the body has a content-encoding other than identity
    bool expect_continue;    // request asked for 100 Continue
    uint32_t n_fields;
    struct http_field *fields; // [n_fields]; the caller's storage for HTTP_FIELDS_MAX of them
};

/* Why bytes were refused: the status a server answers, and one sentence for the sender. */
struct http_fault {
    int http_status;  // 400, 414, 417, 431, 501, 505
    const char *text; // static
};

/**
 * Look for the end of a head (CRLF CRLF) and refuse early what can never become one.
 *
 * in      bytes received so far, from the first byte of the message
 * seen    how many of them an earlier call has looked at already (0 at first); the cost of a call
 *         is O(in.len - seen), so a head that drips in byte by byte costs no more than one that
 *         arrives whole
 * head_bytes_max  0: HTTP_HEAD_BYTES_MAX
 * ret_head_bytes  length of the head, the empty line included
 *
 * Errors: AGAIN (more bytes are needed), INVALID (bare LF or CR, NUL, other control bytes), LIMIT.
 */
MUST_USE enum status http_parse_end(struct str in, size_t seen, size_t head_bytes_max,
                                    size_t *ret_head_bytes, struct http_fault *ret_fault);

/**
 * Parse one whole request head, as measured by http_parse_end.
 *
 * ret_head  `fields` must point to HTTP_FIELDS_MAX fields; everything else is set here
 *
 * Errors: INVALID, LIMIT, UNSUPPORTED (ret_fault has the answer); ret_head is half filled then.
 */
MUST_USE enum status http_parse_request(struct str head, struct http_head *ret_head,
                                        struct http_fault *ret_fault);
/**
 * Parse one whole response head.  `to_head` says that the request was a HEAD request: no body then.
 * Errors: as http_parse_request; fault statuses are 502 here.
 */
MUST_USE enum status http_parse_response(struct str head, bool to_head, struct http_head *ret_head,
                                         struct http_fault *ret_fault);

/** Value of the first field of that name (ASCII case ignored), or NULL. */
const struct str *http_parse_field(const struct http_head *head, struct str name);

/**
 * Percent-decode a path into `out` (at least raw.len bytes; may not overlap).
 * Errors: INVALID for a bad escape and for a decoded NUL or control byte.
 */
MUST_USE enum status http_parse_path(struct str raw, char *out, struct str *ret_path);

/* Chunked transfer coding.  Zero-initialise; one struct per body. */
struct http_chunked {
    uint32_t state;      // enum in http_chunked.c
    uint32_t line_bytes; // of the current size line, or of all trailers
    uint32_t name_bytes; // of the current trailer's name
    uint64_t left;       // bytes of the current chunk still to come
};

/**
 * Take the next piece of a chunked body.
 *
 * ret_consumed  bytes of `in` used up (framing and payload together)
 * ret_payload   part of `in` that is payload; may be empty
 *
 * Returns OK when more may follow (call again with what is left, or when there is more), CLOSED
 * when the body is complete (the rest of `in` belongs to the next message).
 * Errors: INVALID, LIMIT; the connection cannot be used any more.
 */
MUST_USE enum status http_chunked_next(struct http_chunked *c, struct str in, size_t *ret_consumed,
                                       struct str *ret_payload, struct http_fault *ret_fault);

/** Reason phrase of a status code ("Not Found"); "Unknown" for others. */
const char *http_parse_reason(int http_status);
/** True for RFC 9110 token characters only, and at least one. */
bool http_parse_is_token(struct str s);

#endif
