#include "net/http_parse.h"
#include "base/check.h"

#include <string.h>

/* Character classes of RFC 9110: one byte of flags per input byte. */
enum {
    CH_TOKEN = 1,  // tchar
    CH_VALUE = 2,  // field value: HTAB, SP, VCHAR, obs-text
    CH_TARGET = 4, // VCHAR without '#'
    CH_DIGIT = 8,
    CH_HOST = 16, // uri-host [ ":" port ]
};

static uint8_t classify(unsigned c)
{
    const bool digit = c >= '0' && c <= '9';
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    unsigned flags = 0;

    if (letter || digit || (c != 0 && c < 128 && strchr("!#$%&'*+-.^_`|~", (int)c) != NULL)) {
        flags |= CH_TOKEN;
    }
    if (c == '\t' || (c >= ' ' && c != 0x7F)) {
        flags |= CH_VALUE;
    }
    if (c > ' ' && c < 0x7F && c != '#') {
        flags |= CH_TARGET;
    }
    if (digit) {
        flags |= CH_DIGIT;
    }
    if (letter || digit || (c != 0 && c < 128 && strchr("-._~%!$&'()*+,;=:[]", (int)c) != NULL)) {
        flags |= CH_HOST;
    }
    return (uint8_t)flags;
}

static uint8_t classes[256];

__attribute__((constructor)) static void fill_classes(void)
{
    for (unsigned c = 0; c < 256; c++) {
        classes[c] = classify(c);
    }
}

static bool is(char c, unsigned flags)
{
    return (classes[(unsigned char)c] & flags) != 0;
}

static size_t span(struct str s, size_t at, unsigned flags)
{
    while (at < s.len && is(s.ptr[at], flags)) {
        at++;
    }
    return at;
}

static bool all(struct str s, unsigned flags)
{
    return span(s, 0, flags) == s.len;
}

static enum status refuse(struct http_fault *f, enum status rc, int http_status, const char *text)
{
    *f = (struct http_fault){http_status, text};
    return rc;
}

bool http_parse_is_token(struct str s)
{
    return s.len > 0 && all(s, CH_TOKEN);
}

enum status http_parse_end(struct str in, size_t seen, size_t head_bytes_max,
                           size_t *ret_head_bytes, struct http_fault *ret_fault)
{
    const size_t max = head_bytes_max == 0 ? HTTP_HEAD_BYTES_MAX : head_bytes_max;

    for (size_t i = seen; i < in.len; i++) {
        const unsigned char c = (unsigned char)in.ptr[i];

        if (i >= max) {
            return refuse(ret_fault, E_LIMIT, 431, "The request head is too large.");
        }
        if (c >= ' ' && c != 0x7F) {
            if (i > 0 && in.ptr[i - 1] == '\r') {
                return refuse(ret_fault, E_INVALID, 400, "A CR must be followed by LF.");
            }
            continue;
        }
        if (c == '\n') {
            if (i == 0 || in.ptr[i - 1] != '\r') {
                return refuse(ret_fault, E_INVALID, 400, "Lines must end with CR LF.");
            }
            if (i >= 3 && in.ptr[i - 2] == '\n') {
                *ret_head_bytes = i + 1;
                return OK;
            }
        } else if (i > 0 && in.ptr[i - 1] == '\r') {
            return refuse(ret_fault, E_INVALID, 400, "A CR must be followed by LF.");
        } else if (c != '\r' && c != '\t') {
            return refuse(ret_fault, E_INVALID, 400, "The request head has a control character.");
        }
    }
    if (in.len >= max) {
        return refuse(ret_fault, E_LIMIT, 431, "The request head is too large.");
    }
    return E_AGAIN;
}

/* One line without its CR LF; the head ends with an empty one, so there is always a next. */
static struct str next_line(struct str head, size_t *at)
{
    const size_t end = str_find_byte(head, '\r', *at);
    struct str line;

    CHECK(end != SIZE_MAX && end + 1 < head.len);
    line = str_slice(head, *at, end);
    *at = end + 2;
    return line;
}

static enum status parse_field(struct str line, struct http_field *ret_field, struct http_fault *f)
{
    const size_t colon = span(line, 0, CH_TOKEN);
    struct str value;

    if (line.ptr[0] == ' ' || line.ptr[0] == '\t') {
        return refuse(f, E_INVALID, 400, "A header field may not be folded over two lines.");
    }
    if (colon == 0 || colon >= line.len || line.ptr[colon] != ':') {
        return refuse(f, E_INVALID, 400, "A header field must be a name, a colon and a value.");
    }
    if (colon > HTTP_NAME_BYTES_MAX) {
        return refuse(f, E_LIMIT, 431, "A header field name is too long.");
    }
    value = str_slice(line, colon + 1, line.len);
    if (!all(value, CH_VALUE)) {
        return refuse(f, E_INVALID, 400, "A header field has a control character.");
    }
    *ret_field = (struct http_field){str_slice(line, 0, colon), str_trim(value)};
    return OK;
}

static enum status parse_fields(struct str head, size_t at, struct http_head *h,
                                struct http_fault *f)
{
    for (;;) {
        const struct str line = next_line(head, &at);
        enum status rc;

        if (line.len == 0) {
            return OK;
        }
        if (h->n_fields == HTTP_FIELDS_MAX) {
            return refuse(f, E_LIMIT, 431, "The request has too many header fields.");
        }
        rc = parse_field(line, &h->fields[h->n_fields], f);
        if (rc != OK) {
            return rc;
        }
        h->n_fields++;
    }
}

/* What the framing fields of a head say, before they are judged. */
struct framing {
    uint32_t n_length;
    uint32_t n_coding;
    uint32_t n_host;
    struct str length;
    struct str coding;
    struct str host;
    bool close;
    bool keep_alive;
};

/* Connection is a list: "keep-alive, Upgrade". */
static void read_connection(struct str value, struct framing *fr)
{
    size_t at = 0;

    while (at <= value.len) {
        size_t comma = str_find_byte(value, ',', at);
        struct str item;

        comma = comma == SIZE_MAX ? value.len : comma;
        item = str_trim(str_slice(value, at, comma));
        fr->close |= str_eq_nocase(item, STR("close"));
        fr->keep_alive |= str_eq_nocase(item, STR("keep-alive"));
        at = comma + 1;
    }
}

static enum status read_framing(struct http_head *h, struct framing *fr, struct http_fault *f)
{
    for (uint32_t i = 0; i < h->n_fields; i++) {
        const struct str name = h->fields[i].name;
        const struct str value = h->fields[i].value;

        if (str_eq_nocase(name, STR("content-length"))) {
            fr->n_length++;
            fr->length = value;
        } else if (str_eq_nocase(name, STR("transfer-encoding"))) {
            fr->n_coding++;
            fr->coding = value;
        } else if (str_eq_nocase(name, STR("host"))) {
            fr->n_host++;
            fr->host = value;
        } else if (str_eq_nocase(name, STR("connection"))) {
            read_connection(value, fr);
        } else if (str_eq_nocase(name, STR("content-encoding"))) {
            h->encoded |= value.len > 0 && !str_eq_nocase(value, STR("identity"));
        } else if (str_eq_nocase(name, STR("expect")) && h->status == 0) {
            if (!str_eq_nocase(value, STR("100-continue"))) {
                return refuse(f, E_UNSUPPORTED, 417, "Only Expect: 100-continue is understood.");
            }
            h->expect_continue = h->version_minor >= 1;
        }
    }
    return OK;
}

static enum status judge_coding(struct http_head *h, const struct framing *fr, struct http_fault *f)
{
    if (fr->n_length > 0) {
        return refuse(f, E_INVALID, 400,
                      "Transfer-Encoding and Content-Length exclude each other.");
    }
    if (h->version_minor == 0) {
        return refuse(f, E_INVALID, 400, "HTTP/1.0 has no Transfer-Encoding.");
    }
    if (fr->n_coding > 1) {
        return refuse(f, E_INVALID, 400, "Transfer-Encoding may be given once.");
    }
    if (!str_eq_nocase(fr->coding, STR("chunked"))) {
        return refuse(f, E_UNSUPPORTED, 501, "The only transfer coding understood is chunked.");
    }
    h->body = HTTP_BODY_CHUNKED;
    return OK;
}

static enum status judge_length(struct http_head *h, const struct framing *fr, struct http_fault *f)
{
    uint64_t length;

    if (fr->n_length > 1) {
        return refuse(f, E_INVALID, 400, "Content-Length may be given once.");
    }
    if (fr->length.len > 18 || str_to_u64(fr->length, &length) != OK) {
        return refuse(f, E_INVALID, 400, "Content-Length must be a plain decimal number.");
    }
    h->body = length == 0 ? HTTP_BODY_NONE : HTTP_BODY_LENGTH;
    h->content_length = length;
    return OK;
}

static enum status judge_framing(struct http_head *h, const struct framing *fr,
                                 struct http_fault *f)
{
    h->keep_alive = h->version_minor >= 1 ? !fr->close : fr->keep_alive && !fr->close;
    h->body = HTTP_BODY_NONE;
    if (fr->n_coding > 0) {
        return judge_coding(h, fr, f);
    }
    if (fr->n_length > 0) {
        return judge_length(h, fr, f);
    }
    return OK;
}

/* "HTTP/1.1" or "HTTP/1.0"; a lower-case name, blanks and other digits are refused. */
static enum status parse_version(struct str s, uint32_t *ret_minor, struct http_fault *f)
{
    if (s.len != 8 || memcmp(s.ptr, "HTTP/", 5) != 0 || !is(s.ptr[5], CH_DIGIT) ||
        s.ptr[6] != '.' || !is(s.ptr[7], CH_DIGIT)) {
        return refuse(f, E_INVALID, 400, "The request line must end with HTTP/1.1.");
    }
    if (s.ptr[5] != '1' || s.ptr[7] > '1') {
        return refuse(f, E_UNSUPPORTED, 505, "Only HTTP/1.1 and HTTP/1.0 are spoken here.");
    }
    *ret_minor = s.ptr[7] == '1';
    return OK;
}

/* Index where the path of an absolute-form target begins; target.len when it has none; SIZE_MAX
 * when the target is not of that form or its authority is malformed. */
static size_t skip_authority(struct str target)
{
    size_t at;
    size_t end;

    if (str_eq_nocase(str_slice(target, 0, 7), STR("http://"))) {
        at = 7;
    } else if (str_eq_nocase(str_slice(target, 0, 8), STR("https://"))) {
        at = 8;
    } else {
        return SIZE_MAX;
    }
    end = span(target, at, CH_HOST);
    if (end == at || (end < target.len && target.ptr[end] != '/' && target.ptr[end] != '?')) {
        return SIZE_MAX;
    }
    return end;
}

static enum status parse_target(struct http_head *h, struct http_fault *f)
{
    const struct str target = h->target;
    struct str rest = target;
    size_t mark;

    if (target.len > HTTP_TARGET_BYTES_MAX) {
        return refuse(f, E_LIMIT, 414, "The request target is too long.");
    }
    if (target.len == 0 || !all(target, CH_TARGET)) {
        return refuse(f, E_INVALID, 400, "The request target has characters that must be encoded.");
    }
    if (str_eq(target, STR("*")) && str_eq(h->method, STR("OPTIONS"))) {
        h->path = target;
        return OK;
    }
    if (target.ptr[0] != '/') {
        const size_t at = skip_authority(target);

        if (at == SIZE_MAX) {
            return refuse(f, E_INVALID, 400, "The request target must be a path or an http URL.");
        }
        rest = str_slice(target, at, target.len);
    }
    mark = str_find_byte(rest, '?', 0);
    h->path = mark == SIZE_MAX ? rest : str_slice(rest, 0, mark);
    h->query = mark == SIZE_MAX ? (struct str){NULL, 0} : str_slice(rest, mark + 1, rest.len);
    if (h->path.len == 0) {
        h->path = STR("/");
    }
    return OK;
}

static enum status parse_request_line(struct str line, struct http_head *h, struct http_fault *f)
{
    const size_t method_end = span(line, 0, CH_TOKEN);
    size_t target_end;
    enum status rc;

    if (method_end == 0 || method_end >= line.len || line.ptr[method_end] != ' ') {
        return refuse(f, E_INVALID, 400, "The request line must begin with a method and a blank.");
    }
    if (method_end > HTTP_METHOD_BYTES_MAX) {
        return refuse(f, E_LIMIT, 400, "The request method is too long.");
    }
    target_end = str_find_byte(line, ' ', method_end + 1);
    if (target_end == SIZE_MAX) {
        return refuse(f, E_INVALID, 400, "The request line must end with HTTP/1.1.");
    }
    h->method = str_slice(line, 0, method_end);
    h->target = str_slice(line, method_end + 1, target_end);
    rc = parse_version(str_slice(line, target_end + 1, line.len), &h->version_minor, f);
    if (rc != OK) {
        return rc;
    }
    return parse_target(h, f);
}

static enum status judge_host(const struct http_head *h, const struct framing *fr,
                              struct http_fault *f)
{
    if (fr->n_host > 1) {
        return refuse(f, E_INVALID, 400, "Host may be given once.");
    }
    if (fr->n_host == 0 && h->version_minor >= 1) {
        return refuse(f, E_INVALID, 400, "An HTTP/1.1 request needs a Host field.");
    }
    if (!all(fr->host, CH_HOST)) {
        return refuse(f, E_INVALID, 400, "The Host field is malformed.");
    }
    return OK;
}

enum status http_parse_request(struct str head, struct http_head *ret_head,
                               struct http_fault *ret_fault)
{
    struct framing fr = {0};
    size_t at = 0;
    enum status rc;

    *ret_head = (struct http_head){.fields = ret_head->fields};
    rc = parse_request_line(next_line(head, &at), ret_head, ret_fault);
    if (rc == OK) {
        rc = parse_fields(head, at, ret_head, ret_fault);
    }
    if (rc == OK) {
        rc = read_framing(ret_head, &fr, ret_fault);
    }
    if (rc == OK) {
        rc = judge_host(ret_head, &fr, ret_fault);
    }
    if (rc == OK) {
        rc = judge_framing(ret_head, &fr, ret_fault);
    }
    return rc;
}

static enum status parse_status_line(struct str line, struct http_head *h, struct http_fault *f)
{
    enum status rc = parse_version(str_slice(line, 0, 8), &h->version_minor, f);

    if (rc != OK) {
        return refuse(f, rc, 502, "The answer does not begin with HTTP/1.1.");
    }
    if (line.len < 12 || line.ptr[8] != ' ' || !all(str_slice(line, 9, 12), CH_DIGIT) ||
        (line.len > 12 && line.ptr[12] != ' ') || !all(str_slice(line, 12, line.len), CH_VALUE)) {
        return refuse(f, E_INVALID, 502, "The status line of the answer is malformed.");
    }
    h->status = (uint32_t)(line.ptr[9] - '0') * 100 + (uint32_t)(line.ptr[10] - '0') * 10 +
                (uint32_t)(line.ptr[11] - '0');
    if (h->status < 100 || h->status > 599) {
        return refuse(f, E_INVALID, 502, "The status code of the answer is out of range.");
    }
    return OK;
}

enum status http_parse_response(struct str head, bool to_head, struct http_head *ret_head,
                                struct http_fault *ret_fault)
{
    struct framing fr = {0};
    size_t at = 0;
    enum status rc;

    *ret_head = (struct http_head){.fields = ret_head->fields};
    rc = parse_status_line(next_line(head, &at), ret_head, ret_fault);
    if (rc != OK) {
        return rc;
    }
    rc = parse_fields(head, at, ret_head, ret_fault);
    if (rc == OK) {
        rc = read_framing(ret_head, &fr, ret_fault);
    }
    if (rc == OK) {
        rc = judge_framing(ret_head, &fr, ret_fault);
    }
    if (rc != OK) {
        ret_fault->http_status = 502;
        return rc;
    }
    if (to_head || ret_head->status < 200 || ret_head->status == 204 || ret_head->status == 304) {
        ret_head->body = HTTP_BODY_NONE;
    } else if (fr.n_length == 0 && fr.n_coding == 0) {
        ret_head->body = HTTP_BODY_UNTIL_EOF;
        ret_head->keep_alive = false;
    }
    return OK;
}

const struct str *http_parse_field(const struct http_head *head, struct str name)
{
    for (uint32_t i = 0; i < head->n_fields; i++) {
        if (str_eq_nocase(head->fields[i].name, name)) {
            return &head->fields[i].value;
        }
    }
    return NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

enum status http_parse_path(struct str raw, char *out, struct str *ret_path)
{
    size_t n = 0;

    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];

        if (c == '%') {
            const int high = i + 2 < raw.len ? hex_digit(raw.ptr[i + 1]) : -1;
            const int low = i + 2 < raw.len ? hex_digit(raw.ptr[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return E_INVALID;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if ((unsigned char)c < ' ' || c == 0x7F) {
            return E_INVALID;
        }
        out[n++] = c;
    }
    *ret_path = (struct str){out, n};
    return OK;
}

const char *http_parse_reason(int http_status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {100, "Continue"},
        {200, "OK"},
        {204, "No Content"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(reasons); i++) {
        if (reasons[i].status == http_status) {
            return reasons[i].text;
        }
    }
    return "Unknown";
}
