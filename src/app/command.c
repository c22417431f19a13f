#include "app/command.h"

#include <stdio.h>

int command_failed(const char *command, const char *text)
{
    fprintf(stderr, "kontor %s: %s\n", command, text);
    return EXIT_CODE_FAILED;
}
