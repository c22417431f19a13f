#include "doctor/log_reader.h"

#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAMPLE_BYTES 65536                                // what the kind of a file is judged by
#define CONVERTED_BYTES (3 * LOG_READER_BLOCK_BYTES + 64) // UTF-8 of a block, at most
#define CONTROL_SHARE 20                                  // 1 in 20 control characters: binary

struct log_reader {
    int fd;
    char *block;     // owned, LOG_READER_BLOCK_BYTES
    char *converted; // owned, CONVERTED_BYTES; NULL until needed
    size_t len;      // bytes in block
    size_t used;     // of them given out
    uint64_t n_bytes;
    bool at_end;
    bool first;
    size_t mark_len; // of wide text
    const char *encoding;
};

static const struct {
    const char *magic;
    size_t len;
    const char *what;
} formats[] = {
    {"\x1f\x8b", 2, "gzip; unpack it first (gunzip)"},
    {"\x28\xb5\x2f\xfd", 4, "zstd; unpack it first (zstd -d)"},
    {"\xfd"
     "7zXZ",
     5, "xz; unpack it first (unxz)"},
    {"BZh", 3, "bzip2; unpack it first (bunzip2)"},
    {"PK\x03\x04", 4, "a zip archive; unpack it first"},
    {"\x7f"
     "ELF",
     4, "a program"},
    {"LPKSHHRH", 8, "a systemd journal; print it first (journalctl --file)"},
};

/* Read until the block is full or the file ends. */
static enum status fill(struct log_reader *r, struct error *err)
{
    while (!r->at_end && r->len < LOG_READER_BLOCK_BYTES) {
        ssize_t n = read(r->fd, r->block + r->len, LOG_READER_BLOCK_BYTES - r->len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return error_set(err, E_IO, "cannot be read: %s", strerror(errno));
        }
        r->at_end = n == 0;
        r->len += (size_t)n;
        r->n_bytes += (uint64_t)n;
    }
    return OK;
}

/* Wide text without a mark: of mostly ASCII text one byte of each unit is no zero. */
static const char *guess_wide(struct str s)
{
    size_t zeros[4] = {0, 0, 0, 0};
    size_t n = s.len / 4; // UTF-32 units, or pairs of UTF-16 units

    for (size_t i = 0; i < 4 * n; i++) {
        zeros[i % 4] += s.ptr[i] == '\0';
    }
    if (n < 4) {
        return NULL;
    }
    if (zeros[1] * 10 > n * 7 && zeros[2] * 10 > n * 9 && zeros[3] * 10 > n * 9 &&
        zeros[0] * 10 < n * 2) {
        return "UTF-32LE";
    }
    if (zeros[0] * 10 > n * 9 && zeros[1] * 10 > n * 9 && zeros[2] * 10 > n * 7 &&
        zeros[3] * 10 < n * 2) {
        return "UTF-32BE";
    }
    if ((zeros[1] + zeros[3]) * 10 > n * 14 && (zeros[0] + zeros[2]) * 10 < n * 2) {
        return "UTF-16LE";
    }
    return (zeros[0] + zeros[2]) * 10 > n * 14 && (zeros[1] + zeros[3]) * 10 < n * 2 ? "UTF-16BE"
                                                                                     : NULL;
}

/* What the mark at the front says; UTF-32LE's begins as UTF-16LE's. */
static const struct {
    const char *mark;
    size_t len;
    const char *encoding;
} marks[] = {
    {"\xff\xfe\0\0", 4, "UTF-32LE"},
    {"\0\0\xfe\xff", 4, "UTF-32BE"},
    {"\xff\xfe", 2, "UTF-16LE"},
    {"\xfe\xff", 2, "UTF-16BE"},
};

static const char *marked_encoding(struct str s, size_t *ret_len)
{
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
        if (str_starts(s, (struct str){marks[i].mark, marks[i].len})) {
            *ret_len = marks[i].len;
            return marks[i].encoding;
        }
    }
    *ret_len = 0;
    return NULL;
}

/* Bytes of a unit: 1, or 2 and 4 of wide text. */
static size_t unit_of(const char *encoding)
{
    return strncmp(encoding, "UTF-16", 6) == 0 ? 2 : strncmp(encoding, "UTF-32", 6) == 0 ? 4 : 1;
}

static bool looks_binary(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        n += c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != 0x1b && c != '\b' && c != '\f';
    }
    return n * CONTROL_SHARE > s.len;
}

static enum status judge(struct log_reader *r, struct error *err)
{
    struct str s = {r->block, r->len < SAMPLE_BYTES ? r->len : SAMPLE_BYTES};

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (str_starts(s, (struct str){formats[i].magic, formats[i].len})) {
            return error_set(err, E_INVALID, "is no text log but %s", formats[i].what);
        }
    }
    if (marked_encoding(s, &r->mark_len) != NULL) {
        r->encoding = marked_encoding(s, &r->mark_len);
    } else if (guess_wide(s) != NULL) {
        r->encoding = guess_wide(s);
    } else if (looks_binary(s)) {
        return error_set(err, E_INVALID, "is no text: give the doctor a log file");
    }
    return OK;
}

static enum status open_file(struct log_reader *r, const char *path, struct error *err)
{
    struct stat st;

    if (strcmp(path, "-") == 0) {
        r->fd = dup(STDIN_FILENO);
    } else {
        r->fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (r->fd < 0) {
        return error_set(err,
                         errno == ENOENT   ? E_NOT_FOUND
                         : errno == EACCES ? E_DENIED
                                           : E_IO,
                         "cannot be opened: %s", strerror(errno));
    }
    if (fstat(r->fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        return error_set(err, E_INVALID, "is a folder: name the log file");
    }
    return OK;
}

enum status log_reader_open(const char *path, struct log_reader **ret_reader, struct error *err)
{
    struct log_reader *r = calloc(1, sizeof(*r));
    enum status rc;

    if (r == NULL) {
        return error_set(err, E_NO_MEMORY, "no memory to read a log");
    }
    r->fd = -1;
    r->first = true;
    r->encoding = "UTF-8";
    r->block = malloc(LOG_READER_BLOCK_BYTES);
    rc = r->block == NULL ? error_set(err, E_NO_MEMORY, "no memory to read a log")
                          : open_file(r, path, err);
    if (rc == OK) {
        rc = fill(r, err);
    }
    if (rc == OK) {
        rc = judge(r, err);
    }
    if (rc != OK) {
        log_reader_close(r);
        return error_prefix(err, rc, "%s", path);
    }
    *ret_reader = r;
    return OK;
}

void log_reader_close(struct log_reader *r)
{
    if (r != NULL) {
        if (r->fd >= 0) {
            close(r->fd);
        }
        free(r->converted);
        free(r->block);
        free(r);
    }
}

/* A line end in a wide unit. */
static bool is_line_end(const char *p, size_t unit, bool big)
{
    size_t zeros = 0;

    for (size_t i = 0; i < unit; i++) {
        zeros += p[i] == '\0';
    }
    return zeros == unit - 1 && p[big ? unit - 1 : 0] == '\n';
}

/* Where the last whole line of the block ends; all of it when there is none. */
static size_t whole_lines(const struct log_reader *r)
{
    size_t unit = unit_of(r->encoding);
    size_t end = r->len - r->len % unit;
    const char *last;

    if (r->at_end) {
        return r->len;
    }
    if (unit == 1) {
        last = memrchr(r->block, '\n', r->len);
        return last == NULL ? r->len : (size_t)(last - r->block) + 1;
    }
    for (size_t i = end; i >= unit; i -= unit) {
        if (is_line_end(r->block + i - unit, unit, r->encoding[6] == 'B')) {
            return i;
        }
    }
    return end;
}

static bool has_high_byte(struct str s)
{
    unsigned char all = 0;

    for (size_t i = 0; i < s.len; i++) {
        all |= (unsigned char)s.ptr[i];
    }
    return (all & 0x80) != 0;
}

/* False when it is no text of that encoding; *ret_text is untouched then. */
static bool convert(struct log_reader *r, const char *encoding, bool strict, struct str s,
                    struct str *ret_text)
{
    iconv_t how = iconv_open("UTF-8", encoding);
    union {
        const char *read_only;
        char *ptr; // iconv takes char ** and writes nothing there
    } in = {s.ptr};
    size_t in_left = s.len;
    size_t unit = unit_of(encoding);
    char *out;
    size_t out_left = CONVERTED_BYTES;

    if (how == (iconv_t)-1) { // NOLINT(performance-no-int-to-ptr): as POSIX has it
        return false;
    }
    if (r->converted == NULL) {
        r->converted = malloc(CONVERTED_BYTES);
    }
    out = r->converted;
    while (out != NULL && in_left > 0) {
        if (iconv(how, &in.ptr, &in_left, &out, &out_left) != (size_t)-1) {
            break;
        }
        if (strict || in_left < unit || out_left == 0 || errno == E2BIG) {
            break;
        }
        in.ptr += unit; // a broken one
        in_left -= unit;
        *out++ = '?';
        out_left--;
    }
    iconv_close(how);
    if (out == NULL || (strict && in_left > 0)) {
        return false;
    }
    *ret_text = (struct str){r->converted, (size_t)(out - r->converted)};
    return true;
}

static struct str to_utf8(struct log_reader *r, struct str s)
{
    struct str text = s;

    if (unit_of(r->encoding) > 1) {
        s = str_slice(s, r->first ? r->mark_len : 0, s.len);
        (void)convert(r, r->encoding, false, s, &text);
    } else if (has_high_byte(s) && !utf8_valid(s)) {
        if (convert(r, "GB18030", true, s, &text)) {
            r->encoding = "GB18030";
        }
    }
    if (r->first && str_starts(text, STR("\xef\xbb\xbf"))) {
        text = str_slice(text, 3, text.len);
    }
    return text;
}

enum status log_reader_next(struct log_reader *r, struct str *ret_block, struct error *err)
{
    enum status rc;
    size_t n;

    memmove(r->block, r->block + r->used, r->len - r->used);
    r->len -= r->used;
    r->used = 0;
    rc = fill(r, err);
    if (rc != OK) {
        return rc;
    }
    if (r->len == 0) {
        return E_CLOSED;
    }
    n = whole_lines(r);
    r->used = n;
    *ret_block = to_utf8(r, (struct str){r->block, n});
    r->first = false;
    return OK;
}

const char *log_reader_encoding(const struct log_reader *r)
{
    return r->encoding;
}

uint64_t log_reader_bytes(const struct log_reader *r)
{
    return r->n_bytes;
}
