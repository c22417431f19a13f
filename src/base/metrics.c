#include "base/metrics.h"
#include "base/check.h"
#include "base/json.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Everything but the atomics is immutable once start-up is over, so rendering takes no lock.  A
 * histogram read while it is written may miss the newest observation in one of its lines; the count
 * line is the sum of the buckets read, so the text never contradicts itself. */
struct bucket {
    _Atomic uint64_t count;
};

struct metric_series {
    struct family *family;       // borrowed: the registry
    struct metric_series *next;  // owned
    char *labels;                // owned
    _Atomic uint64_t value_bits; // double: counter or gauge value, histogram sum
    struct bucket *buckets;      // owned, [n_bounds + 1]
};

struct family {
    struct family *next; // owned
    enum metric_kind kind;
    char *name;     // owned
    char *help;     // owned
    double *bounds; // owned, [n_bounds]
    uint32_t n_bounds;
    struct metric_series *first; // owned
    struct metric_series *last;
};

struct metrics {
    struct family *first; // owned
    struct family *last;
};

static char *copy_text(const char *text)
{
    char *copy = strdup(text);

    CHECK(copy != NULL);
    return copy;
}

struct metrics *metrics_create(void)
{
    return calloc(1, sizeof(struct metrics));
}

static void family_destroy(struct family *f)
{
    struct metric_series *next;

    for (struct metric_series *s = f->first; s != NULL; s = next) {
        next = s->next;
        free(s->labels);
        free(s->buckets);
        free(s);
    }
    free(f->name);
    free(f->help);
    free(f->bounds);
    free(f);
}

void metrics_destroy(struct metrics *m)
{
    struct family *next;

    if (m == NULL) {
        return;
    }
    for (struct family *f = m->first; f != NULL; f = next) {
        next = f->next;
        family_destroy(f);
    }
    free(m);
}

static struct family *find_family(struct metrics *m, const char *name)
{
    struct family *f = m->first;

    while (f != NULL && strcmp(f->name, name) != 0) {
        f = f->next;
    }
    return f;
}

static struct family *add_family(struct metrics *m, const char *name, const char *help)
{
    struct family *f = calloc(1, sizeof(*f));

    CHECK(f != NULL);
    f->name = copy_text(name);
    f->help = copy_text(help);
    if (m->last == NULL) {
        m->first = f;
    } else {
        m->last->next = f;
    }
    m->last = f;
    return f;
}

static void set_bounds(struct family *f, const double *bounds, uint32_t n_bounds)
{
    f->n_bounds = n_bounds;
    f->bounds = calloc(n_bounds + 1, sizeof(*f->bounds));
    CHECK(f->bounds != NULL);
    for (uint32_t i = 0; i < n_bounds; i++) {
        CHECK(i == 0 || bounds[i] > bounds[i - 1]);
        f->bounds[i] = bounds[i];
    }
}

/* Doubles that were declared equal are equal bit by bit. */
static bool same_bounds(const struct family *f, const double *bounds, uint32_t n_bounds)
{
    return f->n_bounds == n_bounds &&
           (n_bounds == 0 || memcmp(f->bounds, bounds, n_bounds * sizeof(*bounds)) == 0);
}

struct metric_series *metrics_series(struct metrics *m, enum metric_kind kind, const char *name,
                                     const char *labels, const char *help, const double *bounds,
                                     uint32_t n_bounds)
{
    struct family *f = find_family(m, name);
    struct metric_series *s;

    CHECK(kind == METRIC_HISTOGRAM || n_bounds == 0);
    if (f == NULL) {
        f = add_family(m, name, help);
        f->kind = kind;
        set_bounds(f, bounds, n_bounds);
    }
    CHECK(f->kind == kind && strcmp(f->help, help) == 0 && same_bounds(f, bounds, n_bounds));
    for (struct metric_series *other = f->first; other != NULL; other = other->next) {
        if (strcmp(other->labels, labels) == 0) {
            return other;
        }
    }
    s = calloc(1, sizeof(*s));
    CHECK(s != NULL);
    s->family = f;
    s->labels = copy_text(labels);
    s->buckets = calloc((size_t)n_bounds + 1, sizeof(*s->buckets));
    CHECK(s->buckets != NULL);
    if (f->last == NULL) {
        f->first = s;
    } else {
        f->last->next = s;
    }
    f->last = s;
    return s;
}

static double double_from_bits(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

static uint64_t bits_from_double(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

static double load_value(const struct metric_series *s)
{
    return double_from_bits(atomic_load_explicit(&s->value_bits, memory_order_relaxed));
}

static void add_value(struct metric_series *s, double v)
{
    uint64_t seen = atomic_load_explicit(&s->value_bits, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(&s->value_bits, &seen,
                                                  bits_from_double(double_from_bits(seen) + v),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

void metrics_add(struct metric_series *s, double v)
{
    CHECK(s->family->kind == METRIC_GAUGE || (s->family->kind == METRIC_COUNTER && v >= 0.0));
    add_value(s, v);
}

void metrics_set(struct metric_series *s, double v)
{
    CHECK(s->family->kind == METRIC_GAUGE);
    atomic_store_explicit(&s->value_bits, bits_from_double(v), memory_order_relaxed);
}

void metrics_observe(struct metric_series *s, double v)
{
    uint32_t i = 0;

    CHECK(s->family->kind == METRIC_HISTOGRAM);
    while (i < s->family->n_bounds && v > s->family->bounds[i]) {
        i++;
    }
    atomic_fetch_add_explicit(&s->buckets[i].count, 1, memory_order_relaxed);
    add_value(s, v);
}

double metrics_value(const struct metric_series *s)
{
    uint64_t count = 0;

    if (s->family->kind != METRIC_HISTOGRAM) {
        return load_value(s);
    }
    for (uint32_t i = 0; i <= s->family->n_bounds; i++) {
        count += atomic_load_explicit(&s->buckets[i].count, memory_order_relaxed);
    }
    return (double)count;
}

void metrics_escape_label(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\n') {
            buf_append_c(out, "\\n");
            continue;
        }
        if (value.ptr[i] == '\\' || value.ptr[i] == '"') {
            buf_append_byte(out, '\\');
        }
        buf_append_byte(out, value.ptr[i]);
    }
}

static void render_number(struct buf *out, double v)
{
    if (isnan(v)) {
        buf_append_c(out, "NaN");
    } else if (isinf(v)) {
        buf_append_c(out, v > 0.0 ? "+Inf" : "-Inf");
    } else {
        json_write_double(out, v, true);
    }
}

/* name_suffix{labels,le="..."} */
static void render_name(struct buf *out, const struct metric_series *s, const char *suffix,
                        const double *le)
{
    bool has_labels = s->labels[0] != '\0';

    buf_printf(out, "%s%s", s->family->name, suffix);
    if (has_labels || le != NULL) {
        buf_printf(out, "{%s%s", s->labels, has_labels && le != NULL ? "," : "");
        if (le != NULL) {
            buf_append_c(out, "le=\"");
            render_number(out, *le);
            buf_append_byte(out, '"');
        }
        buf_append_byte(out, '}');
    }
    buf_append_byte(out, ' ');
}

static void render_line(struct buf *out, const struct metric_series *s, const char *suffix,
                        double value)
{
    render_name(out, s, suffix, NULL);
    render_number(out, value);
    buf_append_byte(out, '\n');
}

static void render_histogram(struct buf *out, const struct metric_series *s)
{
    const double infinite = (double)INFINITY;
    uint64_t count = 0;

    for (uint32_t i = 0; i <= s->family->n_bounds; i++) {
        count += atomic_load_explicit(&s->buckets[i].count, memory_order_relaxed);
        render_name(out, s, "_bucket", i < s->family->n_bounds ? &s->family->bounds[i] : &infinite);
        render_number(out, (double)count);
        buf_append_byte(out, '\n');
    }
    render_line(out, s, "_sum", load_value(s));
    render_line(out, s, "_count", (double)count);
}

static void render_help(struct buf *out, const char *help)
{
    for (const char *p = help; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\\') {
            buf_append_byte(out, '\\');
        }
        buf_append_byte(out, *p == '\n' ? 'n' : *p);
    }
}

void metrics_render(struct metrics *m, struct buf *out)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};

    for (const struct family *f = m->first; f != NULL; f = f->next) {
        buf_printf(out, "# HELP %s ", f->name);
        render_help(out, f->help);
        buf_printf(out, "\n# TYPE %s %s\n", f->name, kinds[f->kind]);
        for (const struct metric_series *s = f->first; s != NULL; s = s->next) {
            if (f->kind == METRIC_HISTOGRAM) {
                render_histogram(out, s);
            } else {
                render_line(out, s, "", load_value(s));
            }
        }
    }
}
