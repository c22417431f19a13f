/* The report: order, width, exit code, JSON that reads back. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "doctor/report.h"
#include "support/test.h"

#include <string.h>

static struct report *filled(void)
{
    struct report *r = report_create();

    EXPECT_TRUE(r != NULL);
    report_add(r, &(struct finding){.state = FINDING_OK,
                                    .grade = FINDING_UNGRADED,
                                    .id = STR("fine"),
                                    .title = STR("all well")});
    report_add(r, &(struct finding){.state = FINDING_UNKNOWN,
                                    .grade = FINDING_UNGRADED,
                                    .id = STR("dark"),
                                    .title = STR("could not look"),
                                    .cause = STR("no right")});
    report_add(r, &(struct finding){.state = FINDING_PROBLEM,
                                    .grade = FINDING_LIKELY,
                                    .id = STR("bad"),
                                    .title = STR("it is broken"),
                                    .cause = STR("a cause with \"quotes\" and a line\nend"),
                                    .fix = STR("do this"),
                                    .confirm = STR("look there"),
                                    .file = STR("x.log"),
                                    .line = 12,
                                    .evidence = STR("the line \x1b[31m itself"),
                                    .times = 3});
    report_add_related(r, STR("more"), STR("a consequence"), 14);
    report_add_fact(r, STR("torch"), STR("2.5.1"), 4);
    return r;
}

static struct str printed(const struct report *r, bool color, struct buf *out)
{
    buf_reset(out);
    report_print(r, color, false, out);
    return buf_str(out);
}

TEST(text_names_problems_first_and_hides_what_is_fine)
{
    struct report *r = filled();
    struct buf out;
    struct str text;

    buf_init(&out, 1 << 16);
    text = printed(r, false, &out);
    EXPECT_TRUE(str_find(text, STR("it is broken"), 0) < str_find(text, STR("could not look"), 0));
    EXPECT_TRUE(str_find(text, STR("all well"), 0) == SIZE_MAX);
    EXPECT_TRUE(str_find(text, STR("\x1b"), 0) == SIZE_MAX);
    EXPECT_TRUE(str_find(text, STR("x.log:12 (3 times)"), 0) != SIZE_MAX);
    EXPECT_TRUE(str_find(text, STR("line 14: a consequence [more]"), 0) != SIZE_MAX);
    EXPECT_TRUE(str_ends(text, STR("verdict: 1 problem found.\n")));
    EXPECT_TRUE(str_find(printed(r, true, &out), STR("\x1b[33m"), 0) != SIZE_MAX);
    EXPECT_EQ_INT(report_exit_code(r), 1);
    buf_done(&out);
    report_destroy(r);
}

TEST(json_reads_back)
{
    struct report *r = filled();
    struct arena *arena = arena_create(1 << 20);
    const struct json_value *root = NULL;
    const struct json_value *finding;
    struct error err;
    struct buf out;

    EXPECT_TRUE(arena != NULL);
    buf_init(&out, 1 << 16);
    report_json(r, &out);
    EXPECT_OK(json_parse(arena, buf_str(&out), NULL, &root, &err));
    EXPECT_EQ_STR(json_string_or(json_get(root, STR("state")), STR("")), STR("problem"));
    EXPECT_EQ_U32(json_get(root, STR("findings"))->n_items, 1);
    EXPECT_EQ_U32(json_get(root, STR("unknown"))->n_items, 1);
    EXPECT_EQ_U32(json_get(root, STR("ok"))->n_items, 1);
    finding = &json_get(root, STR("findings"))->items[0];
    EXPECT_EQ_STR(json_string_or(json_get(finding, STR("grade")), STR("")), STR("likely"));
    EXPECT_EQ_I64(json_int_or(json_get(finding, STR("line")), 0), 12);
    EXPECT_EQ_STR(json_string_or(json_get(finding, STR("cause")), STR("")),
                  STR("a cause with \"quotes\" and a line\nend"));
    buf_done(&out);
    arena_destroy(arena);
    report_destroy(r);
}

TEST(what_steers_a_terminal_is_not_printed)
{
    static const char hostile[] = "a\x1b[2Jb\xc2\x9b"
                                  "2Jc\xe2\x80\xae"
                                  "d\xe2\x81\xa6"
                                  "e\x9b"
                                  "f\x7f"
                                  "g\ttext \xe4\xb8\xad";
    struct report *r = report_create();
    struct str h = str_from_c(hostile);
    struct buf out;
    struct str text;

    EXPECT_TRUE(r != NULL);
    report_add(r, &(struct finding){.state = FINDING_PROBLEM,
                                    .id = h,
                                    .title = h,
                                    .cause = h,
                                    .fix = h,
                                    .confirm = h,
                                    .file = h,
                                    .line = 1,
                                    .evidence = h});
    report_add_related(r, h, h, 2);
    report_add_fact(r, h, h, 3);
    report_set_verdict(r, h);
    buf_init(&out, 1 << 16);
    text = printed(r, false, &out);
    for (size_t i = 0; i < text.len; i++) {
        EXPECT_TRUE((unsigned char)text.ptr[i] >= 0x20 || text.ptr[i] == '\n');
        EXPECT_TRUE(text.ptr[i] != '\x7f' && text.ptr[i] != '\x9b');
    }
    EXPECT_TRUE(str_find(text, STR("\xc2\x9b"), 0) == SIZE_MAX);
    EXPECT_TRUE(str_find(text, STR("\xe2\x80\xae"), 0) == SIZE_MAX);
    EXPECT_TRUE(str_find(text, STR("\xe2\x81\xa6"), 0) == SIZE_MAX);
    EXPECT_TRUE(str_find(text, STR("\xe4\xb8\xad"), 0) != SIZE_MAX);
    EXPECT_TRUE(str_find(text, STR("a [2Jb 2Jc d e?f g text"), 0) != SIZE_MAX);
    buf_done(&out);
    report_destroy(r);
}

TEST(an_empty_report_is_fine_and_too_many_findings_are_counted)
{
    struct report *r = report_create();
    struct buf out;

    EXPECT_TRUE(r != NULL);
    buf_init(&out, 4 << 20);
    EXPECT_EQ_STR(printed(r, false, &out), STR("verdict: No problem found.\n"));
    EXPECT_EQ_INT(report_exit_code(r), 0);
    for (int i = 0; i < REPORT_FINDINGS_MAX + 3; i++) {
        report_add(r, &(struct finding){.state = FINDING_PROBLEM, .title = STR("again")});
    }
    EXPECT_TRUE(str_find(printed(r, false, &out), STR("3 more findings are not listed"), 0) !=
                SIZE_MAX);
    EXPECT_EQ_U32(report_count(r, FINDING_PROBLEM), REPORT_FINDINGS_MAX + 3);
    report_set_verdict(r, STR("Enough."));
    EXPECT_TRUE(str_ends(printed(r, false, &out), STR("verdict: Enough.\n")));
    buf_done(&out);
    report_destroy(r);
}
