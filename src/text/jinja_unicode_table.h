/* jinja_unicode_table.h - the generated tables behind jinja_unicode.c.  Constant. */
#ifndef TEXT_JINJA_UNICODE_TABLE_H
#define TEXT_JINJA_UNICODE_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* Code points first, first + step ... last map to themselves plus delta. */
struct jinja_unicode_run {
    uint32_t first;
    uint32_t last;
    uint32_t step;
    int32_t delta;
};

struct jinja_unicode_special {
    uint32_t cp;
    uint32_t n;
    uint32_t to[3];
};

// sorted boundaries: even positions begin a range, odd ones end it
extern const uint32_t jinja_unicode_printable[];
extern const size_t jinja_unicode_printable_count;
extern const uint32_t jinja_unicode_space[];
extern const size_t jinja_unicode_space_count;
extern const uint32_t jinja_unicode_cased[];
extern const size_t jinja_unicode_cased_count;
extern const uint32_t jinja_unicode_ignorable[];
extern const size_t jinja_unicode_ignorable_count;

// sorted by first and cp
extern const struct jinja_unicode_run jinja_unicode_lower_runs[];
extern const size_t jinja_unicode_lower_runs_count;
extern const struct jinja_unicode_special jinja_unicode_lower_specials[];
extern const size_t jinja_unicode_lower_specials_count;
extern const struct jinja_unicode_run jinja_unicode_upper_runs[];
extern const size_t jinja_unicode_upper_runs_count;
extern const struct jinja_unicode_special jinja_unicode_upper_specials[];
extern const size_t jinja_unicode_upper_specials_count;
extern const struct jinja_unicode_run jinja_unicode_title_runs[];
extern const size_t jinja_unicode_title_runs_count;
extern const struct jinja_unicode_special jinja_unicode_title_specials[];
extern const size_t jinja_unicode_title_specials_count;

#endif
