#include "base/log.h"
#include "base/utf8.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char captured[8192];

/* Everything written to stderr between begin and end, NUL terminated, in `captured`. */
static int pipe_fds[2];
static int real_stderr;

static void capture_begin(void)
{
    EXPECT_EQ_INT(pipe(pipe_fds), 0);
    real_stderr = dup(STDERR_FILENO);
    EXPECT_TRUE(dup2(pipe_fds[1], STDERR_FILENO) >= 0);
}

static void capture_end(void)
{
    ssize_t n;

    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(pipe_fds[1]);
    n = read(pipe_fds[0], captured, sizeof(captured) - 1);
    captured[n > 0 ? n : 0] = '\0';
    close(pipe_fds[0]);
}

TEST(a_line_has_time_level_event_and_pairs)
{
    capture_begin();
    log_event(LOG_LEVEL_WARN, "listening", "host=%s port=%u", "::1", 8000u);
    capture_end();
    EXPECT_TRUE(strlen(captured) > 25);
    EXPECT_EQ_INT(captured[4], '-');
    EXPECT_EQ_INT(captured[10], 'T');
    EXPECT_EQ_INT(captured[23], 'Z');
    EXPECT_EQ_C_STR(captured + 24, " warn listening host=::1 port=8000\n");
}

TEST(levels_below_the_set_one_are_dropped)
{
    capture_begin();
    log_event(LOG_LEVEL_DEBUG, "quiet", "");
    log_set_level(LOG_LEVEL_ERROR);
    log_event(LOG_LEVEL_WARN, "quiet", "");
    EXPECT_FALSE(log_enabled(LOG_LEVEL_WARN));
    log_set_level(LOG_LEVEL_DEBUG);
    log_event(LOG_LEVEL_DEBUG, "loud", "");
    log_set_level(LOG_LEVEL_INFO);
    capture_end();
    EXPECT_EQ_C_STR(captured + 24, " debug loud\n");
}

TEST(a_value_cannot_start_a_line_of_its_own)
{
    capture_begin();
    log_event(LOG_LEVEL_INFO, "refused", "path=%s", "/x\n2026-01-01 error faked\x1B[2J\x7F");
    capture_end();
    EXPECT_EQ_C_STR(captured + 24, " info refused path=/x 2026-01-01 error faked [2J \n");
}

TEST(a_long_line_is_cut_at_a_character_and_still_ends)
{
    char text[9000];

    for (size_t i = 0; i + 2 < sizeof(text); i += 2) {
        memcpy(text + i, "\xC3\xA4", 3);
    }
    for (size_t shift = 0; shift < 2; shift++) {
        size_t len;

        capture_begin();
        log_event(LOG_LEVEL_INFO, "long", "%s%s", shift ? "x" : "", text);
        capture_end();
        len = strlen(captured);
        EXPECT_TRUE(len > 4000 && len <= 4096);
        EXPECT_EQ_INT(captured[len - 1], '\n');
        EXPECT_TRUE(utf8_valid(str_from_c(captured)));
    }
}
