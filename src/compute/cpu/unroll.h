/* unroll.h - inner loops over a constant number of registers must disappear.
 *
 * -O2 alone keeps such loops, and the arrays they index in memory.
 */
#ifndef COMPUTE_CPU_UNROLL_H
#define COMPUTE_CPU_UNROLL_H

#define INLINE inline __attribute__((always_inline))

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

/* Calls `fn(args..., n_rows)` with the number of rows as a constant, 1..PANEL_ROWS_MAX. */
#define WITH_CONSTANT_ROWS(n_rows, fn, ...)                                                        \
    switch (n_rows) {                                                                              \
    case 1:                                                                                        \
        fn(__VA_ARGS__, 1);                                                                        \
        break;                                                                                     \
    case 2:                                                                                        \
        fn(__VA_ARGS__, 2);                                                                        \
        break;                                                                                     \
    case 3:                                                                                        \
        fn(__VA_ARGS__, 3);                                                                        \
        break;                                                                                     \
    case 4:                                                                                        \
        fn(__VA_ARGS__, 4);                                                                        \
        break;                                                                                     \
    case 5:                                                                                        \
        fn(__VA_ARGS__, 5);                                                                        \
        break;                                                                                     \
    case 6:                                                                                        \
        fn(__VA_ARGS__, 6);                                                                        \
        break;                                                                                     \
    case 7:                                                                                        \
        fn(__VA_ARGS__, 7);                                                                        \
        break;                                                                                     \
    case 8:                                                                                        \
        fn(__VA_ARGS__, 8);                                                                        \
        break;                                                                                     \
    case 9:                                                                                        \
        fn(__VA_ARGS__, 9);                                                                        \
        break;                                                                                     \
    case 10:                                                                                       \
        fn(__VA_ARGS__, 10);                                                                       \
        break;                                                                                     \
    case 11:                                                                                       \
        fn(__VA_ARGS__, 11);                                                                       \
        break;                                                                                     \
    default:                                                                                       \
        fn(__VA_ARGS__, 12);                                                                       \
        break;                                                                                     \
    }

#endif
