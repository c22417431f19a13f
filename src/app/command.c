#include "app/command.h"
#include "base/arena.h"
#include "base/check.h"

#include <stdio.h>

int command_run(const struct option_set *set, int argc, char **argv, size_t arena_bytes_max,
                int (*work)(const struct option_values *v))
{
    struct arena *arena = arena_create(arena_bytes_max);
    struct option_values *v = NULL;
    int code = EXIT_CODE_OK;

    CHECK(arena != NULL);
    switch (option_parse(set, argc, argv, arena, &v)) {
    case OPTION_EXIT_0:
        break;
    case OPTION_EXIT_2:
        code = EXIT_CODE_USAGE;
        break;
    case OPTION_RUN:
        code = work(v);
        break;
    }
    arena_destroy(arena);
    return code;
}

int command_failed(const char *command, const char *text)
{
    fprintf(stderr, "kontor %s: %s\n", command, text);
    return EXIT_CODE_FAILED;
}
