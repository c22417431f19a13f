/* Headers that lie, files that are cut: every one is refused with a message that says what is
 * wrong. */
#include "model/safetensors.h"
#include "support/guard.h"
#include "support/temp_folder.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOOD "\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}"

struct parsed {
    enum status rc;
    uint32_t n_faults;
    uint32_t n_tensors;
    struct tensor first;
    char lines[4096];
};

/* A header of that text before n_data bytes, the text ending at an unreadable page. */
static struct parsed parse(const char *json, uint64_t n_data)
{
    struct parsed p = {.rc = OK};
    struct arena *arena = arena_create((size_t)16 << 20);
    struct guard g = guard_copy(str_from_c(json));
    struct tensor *tensors = NULL;
    struct faults faults;
    struct buf lines;

    buf_init(&lines, 65536);
    faults_init(&faults, &lines);
    p.rc = safetensors_parse(arena, g.text, 8 + g.text.len + n_data, "f", &faults, &tensors,
                             &p.n_tensors);
    p.n_faults = faults.n_faults;
    if (p.rc == OK && p.n_tensors > 0) {
        p.first = tensors[0];
    }
    snprintf(p.lines, sizeof(p.lines), "%s", lines.len > 0 ? buf_c(&lines) : "");
    buf_done(&lines);
    guard_done(&g);
    arena_destroy(arena);
    return p;
}

TEST(a_good_header_is_read)
{
    struct parsed p = parse("{\"__metadata__\":{\"format\":\"pt\"}," GOOD
                            ",\"s\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[24,26]}}   ",
                            26);

    EXPECT_OK(p.rc);
    EXPECT_EQ_U32(p.n_tensors, 2);
    EXPECT_EQ_U32(p.first.n_dims, 2);
    EXPECT_EQ_U64(p.first.dims[0], 2);
    EXPECT_EQ_U64(p.first.dims[1], 3);
    EXPECT_EQ_U64(p.first.n_bytes, 24);
    EXPECT_EQ_INT(p.first.dtype, TENSOR_F32);
}

TEST(tensors_come_in_order_of_offset_and_empty_ones_are_allowed)
{
    struct parsed p = parse("{\"z\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                            "\"y\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[4,5]},"
                            "\"e\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[4,4]}}",
                            5);

    EXPECT_OK(p.rc);
    EXPECT_EQ_U32(p.n_tensors, 3);
    EXPECT_EQ_U64(p.first.n_bytes, 4);
}

TEST(an_empty_table_is_a_file_without_tensors)
{
    struct parsed p = parse("{}", 0);

    EXPECT_OK(p.rc);
    EXPECT_EQ_U32(p.n_tensors, 0);
}

TEST(lies_are_refused)
{
    static const struct {
        const char *json;
        uint64_t n_data;
        const char *says;
    } lies[] = {
        {"", 0, "header"},
        {"{", 0, "header"},
        {"[]", 0, "must be an object, but is: array"},
        {"{" GOOD "} x", 24, "header"},
        {"{" GOOD "," GOOD "}", 24, "header"}, // a name twice
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "name is empty"},
        {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8,
         "printable ASCII"},
        {"{\"a\":7}", 0, "must be an object, but is: integer"},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[2,3],\"data_offsets\":[0,24]}}", 24,
         "\"F33\" is unknown"},
        {"{\"a\":{\"shape\":[2,3],\"data_offsets\":[0,24]}}", 24, "dtype \"\" is unknown"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,24]}}", 24, "shape must be a list"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,-3],\"data_offsets\":[0,24]}}", 24, "from 0 on"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.5],\"data_offsets\":[0,24]}}", 24,
         "whole numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,6],\"data_offsets\":[0,24]}}", 24,
         "at most 8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         "too many elements"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775807,2],\"data_offsets\":[0,0]}}", 0,
         "too many elements"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,23]}}", 24,
         "needs 24 bytes"},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "needs 1 bytes"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]}}", 23, "cut off"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[24,0]}}", 24, "begin <= end"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[-24,0]}}", 24,
         "begin <= end"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0]}}", 24, "begin <= end"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,18446744073709551615]}}",
         24, "begin <= end"},
        {"{" GOOD ",\"b\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[20,44]}}", 44,
         "overlap"},
        {"{" GOOD ",\"b\":{\"dtype\":\"F32\",\"shape\":[6],\"data_offsets\":[0,24]}}", 24,
         "overlap"},
        {"{" GOOD ",\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[28,32]}}", 32,
         "4 bytes between a and tensor b belong to no tensor"},
        {"{" GOOD "}", 25, "1 bytes at the end"},
        {"{\"__metadata__\":{\"a\":1}," GOOD "}", 24, "__metadata__"},
        {"{\"__metadata__\":[]," GOOD "}", 24, "__metadata__"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[[2]],\"data_offsets\":[0,24]}}", 24,
         "whole numbers"},
        {"{\"a\":{\"dtype\":{\"x\":[[1]]},\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "header"},
    };

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct parsed p = parse(lies[i].json, lies[i].n_data);

        if (p.rc == OK || p.n_faults == 0) {
            FAIL("accepted: %s", lies[i].json);
        }
        EXPECT_CONTAINS(p.lines, lies[i].says);
    }
}

TEST(all_faults_of_a_header_are_reported_together)
{
    struct parsed p = parse("{\"a\":{\"dtype\":\"F33\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                            "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[24,99]},"
                            "\"c\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,23]}}",
                            48);

    EXPECT_STATUS(p.rc, E_INVALID);
    EXPECT_EQ_U32(p.n_faults, 3);
}

TEST(every_cut_of_a_good_header_is_refused)
{
    const char *whole = "{\"__metadata__\":{\"format\":\"pt\"}," GOOD "}";
    char cut[256];

    for (size_t n = 0; n < strlen(whole); n++) {
        struct parsed p;

        memcpy(cut, whole, n);
        cut[n] = '\0';
        p = parse(cut, 24);
        if (p.rc == OK) {
            FAIL("accepted: %s", cut);
        }
    }
}

TEST(a_hostile_name_cannot_break_the_report)
{
    struct parsed p =
        parse("{\"a\\n\\u001b[31mb\":{\"dtype\":\"F33\",\"shape\":[],\"data_offsets\":[0,0]}}", 0);

    EXPECT_EQ_U32(p.n_faults, 1);
    EXPECT_TRUE(strchr(p.lines, '\n') == p.lines + strlen(p.lines) - 1); // one line
    EXPECT_TRUE(strchr(p.lines, 0x1b) == NULL);
}

/* ---- files --------------------------------------------------------------------------------- */

struct opened {
    enum status rc;
    char lines[4096];
};

static struct opened open_file(const struct temp_folder *f, const char *name)
{
    struct arena *arena = arena_create((size_t)16 << 20);
    struct safetensors *file = NULL;
    struct faults faults;
    struct opened o;
    struct buf lines;
    char path[512];

    temp_folder_path(f, name, path);
    buf_init(&lines, 65536);
    faults_init(&faults, &lines);
    o.rc = safetensors_open(path, arena, &faults, &file);
    snprintf(o.lines, sizeof(o.lines), "%s", lines.len > 0 ? buf_c(&lines) : "");
    if (o.rc != OK) {
        EXPECT_TRUE(faults.n_faults > 0);
    }
    safetensors_close(file);
    buf_done(&lines);
    arena_destroy(arena);
    return o;
}

TEST(files_that_are_no_safetensors_are_refused)
{
    struct temp_folder f;
    struct opened o;
    char path[512];

    temp_folder_open(&f);
    o = open_file(&f, "absent");
    EXPECT_STATUS(o.rc, E_NOT_FOUND);
    EXPECT_CONTAINS(o.lines, "absent: cannot open: No such file");

    temp_folder_text(&f, "empty", "");
    o = open_file(&f, "empty");
    EXPECT_STATUS(o.rc, E_INVALID);
    EXPECT_CONTAINS(o.lines, "has 0 bytes");

    temp_folder_text(&f, "seven", "1234567");
    o = open_file(&f, "seven");
    EXPECT_STATUS(o.rc, E_INVALID);

    temp_folder_text(&f, "text", "This is a text file and not a checkpoint.");
    o = open_file(&f, "text");
    EXPECT_STATUS(o.rc, E_INVALID);
    EXPECT_CONTAINS(o.lines, "the header claims");

    temp_folder_raw_safetensors(&f, "zero", 0, "", 0);
    o = open_file(&f, "zero");
    EXPECT_STATUS(o.rc, E_INVALID);

    temp_folder_raw_safetensors(&f, "beyond", 3, "{}", 0);
    o = open_file(&f, "beyond");
    EXPECT_STATUS(o.rc, E_INVALID);

    temp_folder_raw_safetensors(&f, "huge", UINT64_MAX, "{}", 0);
    o = open_file(&f, "huge");
    EXPECT_STATUS(o.rc, E_INVALID);

    temp_folder_path(&f, "folder", path);
    EXPECT_EQ_INT(mkdir(path, 0700), 0);
    o = open_file(&f, "folder");
    EXPECT_STATUS(o.rc, E_INVALID);
    EXPECT_CONTAINS(o.lines, "is a folder, not a file");

    temp_folder_path(&f, "pipe", path);
    EXPECT_EQ_INT(mkfifo(path, 0600), 0);
    o = open_file(&f, "pipe"); // must not wait for a writer
    EXPECT_STATUS(o.rc, E_INVALID);
    temp_folder_close(&f);
}

TEST(a_header_over_the_formats_limit_is_refused_before_it_is_read)
{
    uint8_t prefix[SAFETENSORS_PREFIX_BYTES] = {0};
    uint64_t n = 0;
    struct error err;

    prefix[3] = 0x10; // 256 MiB
    EXPECT_STATUS(safetensors_header_bytes(prefix, (uint64_t)1 << 40, &n, &err), E_INVALID);
    EXPECT_CONTAINS(err.text, "the format allows");
    prefix[3] = 0x01; // 16 MiB
    EXPECT_OK(safetensors_header_bytes(prefix, (uint64_t)1 << 40, &n, &err));
    EXPECT_EQ_U64(n, (uint64_t)1 << 24);
}

TEST(unreadable_files_are_named)
{
    struct temp_folder f;
    struct opened o;
    char path[512];

    bool is_root = geteuid() == 0;

    temp_folder_open(&f);
    temp_folder_raw_safetensors(&f, "locked", 2, "{}", 0);
    temp_folder_path(&f, "locked", path);
    EXPECT_EQ_INT(chmod(path, 0), 0);
    EXPECT_EQ_INT(chmod(f.path, 0755), 0);
    if (is_root) { // root reads everything: look with another's eyes
        EXPECT_EQ_INT(seteuid(65534), 0);
    }
    o = open_file(&f, "locked");
    if (is_root) {
        EXPECT_EQ_INT(seteuid(0), 0);
    }
    EXPECT_STATUS(o.rc, E_IO);
    EXPECT_CONTAINS(o.lines, "Permission denied");
    temp_folder_close(&f);
}

TEST(a_file_that_shrinks_or_changes_is_noticed)
{
    struct arena *arena = arena_create((size_t)1 << 20);
    struct safetensors *file = NULL;
    struct temp_folder f;
    struct faults faults;
    struct buf lines;
    struct error err;
    char path[512];
    float values[2];
    uint32_t n = 0;
    const struct tensor *t;

    temp_folder_open(&f);
    temp_folder_safetensors(&f, "x",
                            &(struct temp_tensor){"a", "F32", "[2]", (float[]){1.0f, 2.0f}, 8}, 1);
    temp_folder_path(&f, "x", path);
    buf_init(&lines, 65536);
    faults_init(&faults, &lines);
    EXPECT_OK(safetensors_open(path, arena, &faults, &file));
    t = safetensors_tensors(file, &n);
    EXPECT_OK(safetensors_read(file, t, 4, 4, values, &err));
    EXPECT_NEAR((double)values[0], 2.0, 0.0);
    EXPECT_OK(safetensors_check_unchanged(file, &err));
    EXPECT_EQ_INT(truncate(path, 20), 0);
    EXPECT_STATUS(safetensors_read(file, t, 0, 8, values, &err), E_INVALID);
    EXPECT_CONTAINS(err.text, "x: tensor a");
    EXPECT_STATUS(safetensors_check_unchanged(file, &err), E_INVALID);
    EXPECT_CONTAINS(err.text, "changed while it was read");
    safetensors_close(file);
    buf_done(&lines);
    arena_destroy(arena);
    temp_folder_close(&f);
}
