#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *file, int line, const char *cond)
{
    fprintf(stderr, "kontor: internal fault at %s:%d: %s does not hold. Please report this.\n",
            file, line, cond);
    abort();
}
