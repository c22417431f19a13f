/* The ledger's journal, three ways: bytes as a segment; bytes as payloads of records; payloads put
 * into a segment, read back whole, and again with one byte changed. */
#include "base/check.h"
#include "store/journal.h"
#include "store/ledger_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

struct read {
    uint64_t n;
    uint64_t hash;
};

static uint64_t touch(struct str s, uint64_t hash)
{
    for (size_t i = 0; i < s.len; i++) {
        hash = (hash ^ (uint8_t)s.ptr[i]) * 0x100000001B3u;
    }
    return hash;
}

/* Decoded again after encoding, a record is the same. */
static uint64_t decode(uint8_t type, struct str payload)
{
    char again[LEDGER_RECORD_BYTES_MAX];
    struct ledger_reservation r;
    struct ledger_progress_mark m;
    struct ledger_entry e;
    struct ledger_entry copy;
    size_t n;

    if (type == LEDGER_RECORD_RESERVE && ledger_record_get_reserve(payload, &r) == OK) {
        return touch(r.request_id, touch(r.currency, 1));
    }
    if (type == LEDGER_RECORD_PROGRESS && ledger_record_get_progress(payload, &m) == OK) {
        return touch(m.request_id, m.completion_tokens);
    }
    if (type == LEDGER_RECORD_SETTLE && ledger_record_get_settle(payload, &e) == OK) {
        n = ledger_record_put_settle(again, &e);
        CHECK(ledger_record_get_settle((struct str){again, n}, &copy) == OK);
        CHECK(copy.cost_nano == e.cost_nano && copy.end_ms == e.end_ms);
        return touch(e.rule, touch(e.reservation.request_id, 3));
    }
    return 0;
}

static enum status on_record(void *user, uint8_t type, struct str payload)
{
    struct read *read = user;

    read->n++;
    read->hash = touch(payload, read->hash + type) + decode(type, payload);
    return OK;
}

static struct read read_all(struct str segment)
{
    struct read read = {0, 0};
    const struct journal_reader reader = {on_record, &read};
    struct journal_scan scan = {0};

    CHECK(journal_read_bytes(segment, &reader, &scan) == OK);
    CHECK(scan.n_records == read.n && scan.n_segments == 1);
    CHECK(scan.damaged_bytes <= segment.len);
    return read;
}

/* What the journal writes goes here instead of into a file. */
static unsigned char written[1 << 16];
static size_t n_written;

static ssize_t keep(int fd, const void *bytes, size_t n_bytes, off_t at)
{
    (void)fd;
    CHECK((size_t)at + n_bytes <= sizeof(written));
    memcpy(written + at, bytes, n_bytes);
    n_written = (size_t)at + n_bytes;
    return (ssize_t)n_bytes;
}

/* Pieces of the input: a type, a length, the payload. */
static uint64_t write_pieces(struct journal *j, const uint8_t *bytes, size_t n_bytes)
{
    uint64_t n = 0;

    while (n_bytes > 2 && n_written < sizeof(written) / 2) {
        size_t len = 1 + (size_t)bytes[1] * 4;
        uint8_t type = (uint8_t)(1 + bytes[0] % 4);
        uint32_t segment;

        bytes += 2;
        n_bytes -= 2;
        len = len < n_bytes ? len : n_bytes;
        decode(type, (struct str){(const char *)bytes, len});
        CHECK(journal_append(j, type, (struct str){(const char *)bytes, len}, false, &segment,
                             NULL) == OK);
        bytes += len;
        n_bytes -= len;
        n++;
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    char folder[] = "/tmp/kontor-fuzz-XXXXXX";
    struct journal *j = NULL;
    struct read whole;
    size_t n;
    uint64_t n_records;

    read_all((struct str){(const char *)bytes, n_bytes});
    if (n_bytes < 4 || mkdtemp(folder) == NULL) {
        return 0;
    }
    journal_set_write_hook(keep);
    n_written = 0;
    CHECK(journal_create(folder, 0, &j, NULL) == OK);
    n_records = write_pieces(j, bytes + 2, n_bytes - 2);
    n = n_written;
    whole = read_all((struct str){(const char *)written, n});
    CHECK(whole.n == n_records);
    if (n > 0) {
        size_t at = ((size_t)bytes[0] * 256 + bytes[1]) % n;

        written[at] = (unsigned char)(written[at] ^ 0x10);
        CHECK(read_all((struct str){(const char *)written, n}).n + 1 >= whole.n);
        read_all((struct str){(const char *)written, at});
    }
    journal_destroy(j);
    CHECK(journal_remove(folder, 1, NULL) == OK);
    CHECK(rmdir(folder) == 0);
    journal_set_write_hook(NULL);
    return 0;
}
