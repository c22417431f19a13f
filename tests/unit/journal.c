#include "base/buf.h"
#include "store/journal.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORDS 5

static struct temp_folder folder;

/* What a reader saw: "type:payload," each. */
struct seen {
    struct buf text;
};

static enum status see(void *user, uint8_t type, struct str payload)
{
    struct seen *s = user;

    buf_printf(&s->text, "%u:%.*s,", type, STR_ARG(payload));
    return OK;
}

static struct str read_bytes(struct seen *s, struct str bytes, struct journal_scan *scan)
{
    const struct journal_reader reader = {see, s};

    memset(scan, 0, sizeof(*scan));
    buf_reset(&s->text);
    EXPECT_OK(journal_read_bytes(bytes, &reader, scan));
    return buf_str(&s->text);
}

static struct journal *start(uint64_t segment_bytes)
{
    struct journal *j = NULL;
    struct error err;

    temp_folder_open(&folder);
    EXPECT_OK(journal_create(folder.path, segment_bytes, &j, &err));
    return j;
}

static uint32_t append(struct journal *j, uint8_t type, const char *text)
{
    uint32_t segment = 0;
    struct error err;

    if (journal_append(j, type, str_from_c(text), false, &segment, &err) != OK) {
        FAIL("journal_append: %s", err.text);
    }
    return segment;
}

static ssize_t plain_write(int fd, const void *bytes, size_t n_bytes, off_t at)
{
    return pwrite(fd, bytes, n_bytes, at);
}

/* The bytes of a segment with RECORDS records, and where each of them ends: the file grows with
 * them when it is not mapped. */
static struct str sample(size_t ends[RECORDS + 1])
{
    static const char *const texts[RECORDS] = {"one", "a longer second", "3", "fourth", "five"};
    struct journal *j = start(0);
    struct stat st;
    char path[512];
    struct str bytes;

    journal_set_write_hook(plain_write);
    temp_folder_path(&folder, "journal-0000000001", path);
    for (uint8_t i = 0; i < RECORDS; i++) {
        append(j, (uint8_t)(i + 1), texts[i]);
        EXPECT_EQ_INT(stat(path, &st), 0);
        ends[i + 1] = (size_t)st.st_size;
    }
    ends[0] = 24;
    bytes = test_read_file(path);
    journal_destroy(j);
    journal_set_write_hook(NULL);
    temp_folder_close(&folder);
    return bytes;
}

static const char *const whole = "1:one,2:a longer second,3:3,4:fourth,5:five,";

TEST(every_truncation_keeps_the_records_before_it)
{
    size_t ends[RECORDS + 1];
    struct str bytes = sample(ends);
    struct seen s;
    struct journal_scan scan;

    buf_init(&s.text, 4096);
    for (size_t len = 0; len <= bytes.len; len++) {
        uint32_t complete = 0;
        bool at_end = len == 0 || len == ends[0];
        char *copy = malloc(len + 1); // so that a sanitizer sees reads behind it
        struct str got;

        memcpy(copy, bytes.ptr, len);
        while (complete < RECORDS && ends[complete + 1] <= len) {
            complete++;
        }
        at_end = at_end || (complete > 0 && ends[complete] == len);
        got = read_bytes(&s, (struct str){copy, len}, &scan);
        EXPECT_TRUE(str_starts(str_from_c(whole), got));
        EXPECT_EQ_U64(scan.n_records, complete);
        EXPECT_EQ_U64(scan.n_torn, at_end ? 0 : 1);
        EXPECT_EQ_U64(scan.n_damaged, 0);
        free(copy);
    }
    buf_done(&s.text);
}

TEST(a_mapped_segment_holds_the_same_and_blank_room)
{
    size_t ends[RECORDS + 1];
    struct str bytes = sample(ends);
    struct journal *j = start(0);
    struct journal_scan scan;
    struct seen s;
    struct str mapped;
    char path[512];

    buf_init(&s.text, 4096);
    temp_folder_path(&folder, "journal-0000000001", path);
    append(j, 1, "one");
    append(j, 2, "a longer second");
    mapped = test_read_file(path); // as after a kill: nothing was written, everything is there
    EXPECT_TRUE(mapped.len > bytes.len);
    EXPECT_EQ_STR(read_bytes(&s, mapped, &scan), STR("1:one,2:a longer second,"));
    EXPECT_EQ_U64(scan.n_torn + scan.n_damaged, 0);
    journal_stop(j);
    mapped = test_read_file(path);
    EXPECT_EQ_U64(mapped.len, ends[2]); // the room is given back
    EXPECT_EQ_STR(read_bytes(&s, mapped, &scan), STR("1:one,2:a longer second,"));
    buf_done(&s.text);
    journal_destroy(j);
    temp_folder_close(&folder);
}

TEST(a_record_longer_than_a_segment_has_one_of_its_own)
{
    static char payload[JOURNAL_PAYLOAD_MAX + 1];
    struct journal *j = start(64);
    struct journal_scan scan;
    struct seen s;
    char path[512];

    buf_init(&s.text, 3 * JOURNAL_PAYLOAD_MAX);
    memset(payload, 'x', JOURNAL_PAYLOAD_MAX);
    EXPECT_EQ_U32(append(j, 1, payload), 1);
    EXPECT_EQ_U32(append(j, 2, payload), 2);
    temp_folder_path(&folder, "journal-0000000002", path);
    EXPECT_EQ_U64(read_bytes(&s, test_read_file(path), &scan).len, JOURNAL_PAYLOAD_MAX + 3);
    buf_done(&s.text);
    journal_destroy(j);
    temp_folder_close(&folder);
}

TEST(every_flipped_bit_costs_at_most_its_record)
{
    size_t ends[RECORDS + 1];
    struct str bytes = sample(ends);
    char *copy = malloc(bytes.len);
    struct seen s;
    struct journal_scan scan;

    buf_init(&s.text, 4096);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bool in_header = bit / 8 < ends[0];

        memcpy(copy, bytes.ptr, bytes.len);
        copy[bit / 8] = (char)(copy[bit / 8] ^ (1 << (bit % 8)));
        read_bytes(&s, (struct str){copy, bytes.len}, &scan);
        if (scan.n_records != (in_header ? RECORDS : RECORDS - 1) ||
            scan.n_damaged + scan.n_torn != 1) {
            FAIL("bit %zu: %" PRIu64 " records, %" PRIu64 " damaged, %" PRIu64 " torn", bit,
                 scan.n_records, scan.n_damaged, scan.n_torn);
        }
    }
    free(copy);
    buf_done(&s.text);
}

TEST(record_of_another_place_or_file_is_none)
{
    size_t ends[RECORDS + 1];
    struct str bytes = sample(ends);
    struct str other = sample(ends);
    char *mixed = malloc(bytes.len + other.len);
    struct seen s;
    struct journal_scan scan;

    buf_init(&s.text, 4096);
    memcpy(mixed, bytes.ptr, bytes.len);
    /* the same records again, further back */
    memcpy(mixed + bytes.len, bytes.ptr + ends[0], bytes.len - ends[0]);
    read_bytes(&s, (struct str){mixed, 2 * bytes.len - ends[0]}, &scan);
    EXPECT_EQ_U64(scan.n_records, RECORDS);
    /* the same places of another segment */
    memcpy(mixed, bytes.ptr, ends[0]);
    memcpy(mixed + ends[0], other.ptr + ends[0], other.len - ends[0]);
    read_bytes(&s, (struct str){mixed, other.len}, &scan);
    EXPECT_EQ_U64(scan.n_records, 0);
    free(mixed);
    buf_done(&s.text);
}

TEST(segments_go_when_nobody_holds_them)
{
    struct journal *j = start(64);
    uint32_t done[8];
    struct error err;
    uint32_t *list = NULL;
    uint32_t n = 0;
    uint32_t a = append(j, 1, "aaaaaaaaaaaaaaaaaaaaaaaa");
    uint32_t b = append(j, 1, "bbbbbbbbbbbbbbbbbbbbbbbb");
    uint32_t c = append(j, 1, "cccccccccccccccccccccccc");

    EXPECT_EQ_U32(a, 1);
    EXPECT_EQ_U32(b, 2);
    EXPECT_EQ_U32(c, 3);
    journal_release(j, b); // out of order
    journal_release(j, c); // the current one stays
    EXPECT_EQ_U32(journal_take_done(j, done, 8), 1);
    EXPECT_EQ_U32(done[0], 2);
    EXPECT_OK(journal_remove(folder.path, 2, &err));
    EXPECT_OK(journal_list(folder.path, &list, &n, &err));
    EXPECT_EQ_U32(n, 2);
    EXPECT_EQ_U32(list[0], 1);
    EXPECT_EQ_U32(list[1], 3);
    free(list);
    journal_release(j, a);
    journal_stop(j);
    EXPECT_EQ_U32(journal_take_done(j, done, 8), 2);
    journal_destroy(j);
    /* Numbers of files that are there are passed over. */
    EXPECT_OK(journal_create(folder.path, 0, &j, &err));
    EXPECT_EQ_U32(append(j, 1, "x"), 4);
    journal_destroy(j);
    temp_folder_close(&folder);
}

static int fail_at;
static int n_writes;
static size_t short_by;

static ssize_t failing_write(int fd, const void *bytes, size_t n_bytes, off_t at)
{
    if (n_writes++ == fail_at) {
        if (short_by == 0) {
            errno = ENOSPC;
            return -1;
        }
        return pwrite(fd, bytes, n_bytes > short_by ? n_bytes - short_by : 0, at);
    }
    return pwrite(fd, bytes, n_bytes, at);
}

TEST(failed_write_leaves_no_trace)
{
    journal_set_write_hook(failing_write);
    for (int where = 0; where < 7; where++) {
        for (size_t cut = 0; cut < 12; cut += 3) {
            struct journal *j = start(0);
            struct buf want;
            struct seen s;
            struct journal_scan scan;
            char path[512];

            buf_init(&want, 4096);
            buf_init(&s.text, 4096);
            fail_at = where;
            n_writes = 0;
            short_by = cut;
            for (uint8_t i = 1; i <= 5; i++) {
                char text[32];
                uint32_t segment;
                struct error err;

                snprintf(text, sizeof(text), "record %.*s%u", i * 2, "xxxxxxxxxxxx", i);
                if (journal_append(j, i, str_from_c(text), false, &segment, &err) == OK) {
                    buf_printf(&want, "%u:%s,", i, text);
                } else {
                    EXPECT_EQ_INT(err.status, E_IO);
                }
            }
            temp_folder_path(&folder, "journal-0000000001", path);
            EXPECT_EQ_STR(read_bytes(&s, test_read_file(path), &scan), buf_str(&want));
            EXPECT_EQ_U64(scan.n_damaged, 0);
            buf_done(&want);
            buf_done(&s.text);
            journal_destroy(j);
            temp_folder_close(&folder);
        }
    }
    journal_set_write_hook(NULL);
}
