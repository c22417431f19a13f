#include "app/version.h"
#include "app/command.h"
#include "compute/ops.h"
#include "doctor/rules_regex.h"

#include <event2/event.h>
#include <openssl/crypto.h>
#include <stdio.h>

#ifdef KONTOR_WITH_LIBEDIT
#define LIBEDIT_STATE "yes"
#else
#define LIBEDIT_STATE "no (chat uses plain lines)"
#endif

#ifdef KONTOR_WITH_SQLITE
#define SQLITE_STATE "yes"
#else
#define SQLITE_STATE "no (no ledger; install libsqlite3-dev and build again)"
#endif

int version_print(void)
{
    struct compute_options options = {.math = MATH_BF16,
                                      .n_threads = 1,
                                      .rows_max = 1,
                                      .cols_max = 64};
    struct compute *compute = NULL;
    struct error err;

    printf("kontor %s\n", KONTOR_VERSION);
    printf("  compiler      %s\n", __VERSION__);
    if (compute_create(&options, &compute, &err) == OK) {
        printf("  kernel level  %s\n", compute_level(compute));
        compute_destroy(compute);
    } else {
        printf("  kernel level  none: %s\n", err.text);
    }
    printf("  libevent      %s\n", event_get_version());
    printf("  openssl       %s\n", OpenSSL_version(OPENSSL_VERSION));
    printf("  libedit       %s\n", LIBEDIT_STATE);
    printf("  pcre2         %s\n",
           rules_regex_is_built() ? "yes" : "no (doctor cannot check logs)");
    printf("  sqlite        %s\n", SQLITE_STATE);
    return EXIT_CODE_OK;
}
