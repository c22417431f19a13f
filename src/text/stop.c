/* stop.c - one Knuth-Morris-Pratt automaton per stop string, stepped side by side.
 *
 * What is held back is always a prefix of some stop string (the longest one the text ends with), so
 * the matcher keeps no copy of the text: index and length are enough to write it out again.
 */
#include "text/stop.h"

/* retreat[k - 1]: the longest proper prefix of the stop string that its first k bytes end with. */
static void fill_retreat(struct str stop, uint16_t *retreat)
{
    uint16_t k = 0;

    retreat[0] = 0;
    for (size_t i = 1; i < stop.len; i++) {
        while (k > 0 && stop.ptr[i] != stop.ptr[k]) {
            k = retreat[k - 1];
        }
        if (stop.ptr[i] == stop.ptr[k]) {
            k++;
        }
        retreat[i] = k;
    }
}

enum status stop_init(struct stop_matcher *m, const struct str *stops, uint32_t n_stops)
{
    if (n_stops > STOP_STRINGS_MAX) {
        return E_LIMIT;
    }
    for (uint32_t i = 0; i < n_stops; i++) {
        if (stops[i].len == 0) {
            return E_INVALID;
        }
        if (stops[i].len > STOP_BYTES_MAX) {
            return E_LIMIT;
        }
    }
    m->include_stop = false;
    m->matched = false;
    m->n_stops = n_stops;
    m->matched_idx = 0;
    m->held_idx = 0;
    m->held_len = 0;
    for (uint32_t i = 0; i < n_stops; i++) {
        m->stops[i] = stops[i];
        m->reached[i] = 0;
        fill_retreat(stops[i], m->retreat + (size_t)i * STOP_BYTES_MAX);
    }
    return OK;
}

/* Step every automaton by one byte.  Returns the index of the longest string that is now complete,
 * or STOP_STRINGS_MAX. */
static uint32_t step(struct stop_matcher *m, char byte)
{
    uint32_t found = STOP_STRINGS_MAX;

    for (uint32_t i = 0; i < m->n_stops; i++) {
        const struct str s = m->stops[i];
        const uint16_t *retreat = m->retreat + (size_t)i * STOP_BYTES_MAX;
        uint16_t k = m->reached[i];

        while (k > 0 && s.ptr[k] != byte) {
            k = retreat[k - 1];
        }
        if (s.ptr[k] == byte) {
            k++;
        }
        m->reached[i] = k;
        if (k == s.len && (found == STOP_STRINGS_MAX || s.len > m->stops[found].len)) {
            found = i;
        }
    }
    return found;
}

/* Append the first n bytes of (held text, then piece). */
static void emit(const struct stop_matcher *m, struct str piece, size_t n, struct buf *out)
{
    size_t from_held = n < m->held_len ? n : m->held_len;

    if (from_held > 0) {
        buf_append(out, m->stops[m->held_idx].ptr, from_held);
    }
    if (n > from_held) {
        buf_append(out, piece.ptr, n - from_held);
    }
}

/* Index of the automaton that got farthest: what it reached is what must be held back. */
static uint32_t farthest(const struct stop_matcher *m)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < m->n_stops; i++) {
        if (m->reached[i] > m->reached[best]) {
            best = i;
        }
    }
    return best;
}

static void take_match(struct stop_matcher *m, struct str piece, size_t piece_end, uint32_t idx,
                       struct buf *out)
{
    size_t end = m->held_len + piece_end;

    emit(m, piece, m->include_stop ? end : end - m->stops[idx].len, out);
    m->matched = true;
    m->matched_idx = idx;
    m->held_len = 0;
}

bool stop_push(struct stop_matcher *m, struct str piece, struct buf *out, uint32_t *ret_stop_idx)
{
    uint32_t hold;

    if (m->n_stops == 0) {
        buf_append_str(out, piece);
        return false;
    }
    for (size_t i = 0; i < piece.len && !m->matched; i++) {
        uint32_t found = step(m, piece.ptr[i]);

        if (found != STOP_STRINGS_MAX) {
            take_match(m, piece, i + 1, found, out);
        }
    }
    if (m->matched) {
        if (ret_stop_idx != NULL) {
            *ret_stop_idx = m->matched_idx;
        }
        return true;
    }
    hold = farthest(m);
    emit(m, piece, m->held_len + piece.len - m->reached[hold], out);
    m->held_idx = hold;
    m->held_len = m->reached[hold];
    return false;
}

void stop_finish(struct stop_matcher *m, struct buf *out)
{
    if (!m->matched && m->held_len > 0) {
        buf_append(out, m->stops[m->held_idx].ptr, m->held_len);
    }
    m->held_len = 0;
}
